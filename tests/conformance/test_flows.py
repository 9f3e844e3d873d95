"""Chains and groups: stored at once, run in order, told how they end, and brought back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_partisan import lifecycle, registry
from django_partisan.attempt import FAILED
from django_partisan.exceptions import FlowEnded
from django_partisan.flows import Flow, chain, group
from django_partisan.models import Attempt, Dependency, Task
from django_partisan.processor import BaseTaskProcessor
from tests.app.functions import add, undecorated
from tests.shop_app.models import Order
from tests.support.factories import claim, ended_attempt, record, row_of
from tests.support.processors import Plain, Unique

pytestmark = pytest.mark.django_db


@registry.register
class Named(BaseTaskProcessor):
    """Its one argument is its name in the story."""

    def run(self) -> Any:
        return self.args[0]


def tell() -> None:
    while lifecycle.tell_dependents().has_more:
        pass


def names(tasks: Any) -> list[str]:
    return [row_of(task).arguments["args"][0] for task in tasks]


def run_level(*failing: str) -> list[str]:
    """Run everything that can be claimed; return the names in order."""
    claimed = claim()
    ran = names(claimed)
    for task, name in zip(claimed, ran, strict=True):
        kind = {"kind": FAILED} if name in failing else {"result": f'"{name}"'}
        record(ended_attempt(task, **kind))
    tell()
    return ran


def run_all(*failing: str) -> list[list[str]]:
    levels = []
    while level := run_level(*failing):
        levels.append(level)
    return levels


def statuses(flow: Flow) -> dict[str, str]:
    return {task.arguments["args"][0]: task.status for task in flow.tasks}


def many(*letters: str) -> list[Named]:
    return [Named(letter) for letter in letters]


def test_a_chain_runs_one_step_after_the_other() -> None:
    flow = chain(*many("a", "b", "c")).delay(name="letters")
    assert (flow.name, flow.total, str(flow)) == ("letters", 3, "letters")
    assert statuses(flow) == {"a": "new", "b": "waiting", "c": "waiting"}
    assert run_all() == [["a"], ["b"], ["c"]]
    assert flow.progress.is_done
    assert (flow.progress.total, flow.progress.done, flow.progress.failed) == (3, 3, 0)
    assert flow.progress.fraction == 1.0


def test_a_group_runs_side_by_side_and_what_follows_waits_for_all() -> None:
    flow = chain(Named("a"), group(many("b1", "b2", "b3")), Named("c")).delay()
    assert run_all() == [["a"], ["b1", "b2", "b3"], ["c"]]
    assert flow.progress.done == 5


def test_between_two_groups_there_are_as_many_edges_as_tasks() -> None:
    first, second = many(*map(str, range(20))), many(*map(str, range(20, 50)))
    flow = chain(group(first), group(second)).delay()
    assert Dependency.objects.count() == 50
    assert flow.tasks.count() == flow.total == 50
    assert [len(level) for level in run_all()] == [20, 30]
    assert flow.progress.is_done


def test_flows_nest_in_each_other() -> None:
    inner: Any = Named("0")
    for depth in range(1, 6):
        inner = group(chain(inner, Named(f"{depth}a")), Named(f"{depth}b"))
    flow = chain(inner, Named("end")).delay()
    levels = run_all()
    assert levels[0] == ["0", "1b", "2b", "3b", "4b", "5b"]
    assert levels[1:] == [["1a"], ["2a"], ["3a"], ["4a"], ["5a"], ["end"]]
    assert flow.progress.is_done


def test_then_makes_a_longer_chain_and_leaves_the_first_as_it_is() -> None:
    first = group(*many("a", "b"))
    longer = first.then(Named("c"), Named("d"))
    assert len(first.steps) == 2
    longer.delay()
    assert run_all() == [["a", "b"], ["c"], ["d"]]


def test_a_processor_in_two_places_is_one_task_that_both_wait_for() -> None:
    a, d = Named("a"), Named("d")
    group(chain(a, Named("b"), d), chain(a, Named("c"), d)).delay()
    assert run_all() == [["a"], ["b", "c"], ["d"]]


def test_a_flow_that_leads_back_to_its_beginning_is_refused_by_name() -> None:
    a, b = Named("a"), Plain("b")
    message = r"leads back to its own beginning: .*Named \(step 1\).*Plain \(step 2\)"
    with pytest.raises(ValueError, match=message):
        chain(a, b, a).delay()
    assert not Task.objects.exists()
    assert not Flow.objects.exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: chain(Named), r"got the class Named; write Named\(\.\.\.\)"),
        (lambda: group([Named("a"), 17]), r"group\(\) takes processors.*got 17"),
        (lambda: chain("ab"), r"chain\(\) takes processors.*got 'a'"),
        (lambda: chain(17), r"chain\(\) takes processors.*got 17"),
        (lambda: chain(Named("a"), on_success=Named), "got the class Named"),
        (
            lambda: chain(Named("a")).delay(on_complete=chain(Named("b"))),
            r"on_success and on_complete take processors, as .*step\(17\); got chain",
        ),
        (lambda: chain(add), r"got add without any; write add\.step\(\.\.\.\)"),
        (
            lambda: group([Order(pk=1).send]),
            r"got Order\.send without any; write Order\.send\.step\(\.\.\.\)",
        ),
        (
            lambda: chain(undecorated, Named("a")),
            r"takes .*function undecorated, .*@processor, and write undecorated\.step\(\.\.\.\)",
        ),
        (lambda: group([Order(pk=1).save]), r"got the method Order\.save, which is none"),
        (lambda: chain(lambda: 1), r"<lambda>, which is none; make it a function of a module"),
        (lambda: chain(Named("a"), on_complete=print), "got the function print, which is none"),
        (lambda: chain(add(1)), r"got 1 \(int\)"),
        (lambda: chain(add.step(1, 2, 3)), "too many positional arguments"),  # type: ignore[call-arg]
    ],
)
def test_what_is_no_step_is_refused_by_name(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()
    assert not Task.objects.exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: chain().delay(), "at least one task"),
        (lambda: group([]).delay(), "at least one task"),
        (lambda: chain(Named("a")).delay(name="x" * 256), "255 characters at most"),
        (lambda: chain(Named("a")).delay(on_dependency_failure="rum"), "did you mean 'run'"),
        (lambda: chain(Named("a"), Named("\0")).delay(), "NUL"),
    ],
)
def test_what_cannot_be_stored_is_not_stored_by_halves(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make()
    assert not Task.objects.exists()
    assert not Flow.objects.exists()


def test_creator_and_tags_are_those_of_every_task() -> None:
    order = Order.objects.create()
    flow = chain(
        group(*many("a", "b"), order.send.step("home")), group(*many("c", "d")), on_success=Plain(1)
    ).delay(name="labelled", creator=order, tags=("vip", "mail"), on_complete=Plain(2))
    assert {(task.creator, tuple(task.tags)) for task in flow.tasks} == {(order, ("vip", "mail"))}
    found = Task.objects.tagged("mail", "vip").created_by(order)
    assert set(found) == set(flow.tasks)
    assert flow.tasks.count() == 7
    assert flow.add(Plain(3)).creator is None
    added = flow.add(Plain(4), creator=order, tags=["late"])
    assert (row_of(added).creator, list(row_of(added).tags)) == (order, ["late"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"creator": "ada"}, TypeError, "creator"),
        ({"creator": Order()}, ValueError, "creator"),
        ({"tags": "mail"}, TypeError, "tags takes a tuple or a list"),
        ({"tags": ["a,b"]}, ValueError, "can be no tag"),
    ],
)
def test_a_creator_or_tags_that_cannot_be_are_refused(
    options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        chain(*many("a", "b")).delay(**options)
    assert not Flow.objects.exists()
    assert not Task.objects.exists()


def test_an_empty_group_is_no_step() -> None:
    chain(Named("a"), group([]), Named("b")).delay()
    assert run_all() == [["a"], ["b"]]


def test_equal_tasks_of_a_flow_are_two_tasks() -> None:
    flow = chain(Unique("same"), Unique("same")).delay()
    assert flow.tasks.count() == 2
    assert Task.objects.filter(unique_key=None).count() == 2


def test_a_flow_goes_with_its_transaction() -> None:
    with transaction.atomic():
        chain(*many("a", "b")).delay()
        transaction.set_rollback(True)
    assert not Task.objects.exists()
    assert not Flow.objects.exists()


def test_a_large_flow_is_a_handful_of_statements() -> None:
    flow = chain(Named("first"), group(many(*map(str, range(300)))), Named("last"))
    with CaptureQueriesContext(connection) as few:
        flow.delay()
    flow = chain(Named("first"), group(many(*map(str, range(3_000)))), Named("last"))
    with CaptureQueriesContext(connection) as more:
        flow.delay()
    assert len(more) - len(few) <= 12  # chunks of edges and of arguments


def test_a_failure_cancels_all_that_comes_after_it_with_the_reason() -> None:
    flow = chain(Named("a"), group(many("b", "c")), Named("d"), Named("e")).delay()
    assert run_all("c") == [["a"], ["b", "c"]]
    assert statuses(flow) == {
        "a": "finished",
        "b": "finished",
        "c": "error",
        "d": "cancelled",
        "e": "cancelled",
    }
    d, e = flow.tasks.filter(status="cancelled")
    [c] = flow.tasks.filter(status="error")
    assert [each.message for each in Attempt.objects.filter(task__in=[d, e]).order_by("task")] == [
        f"task {c.pk} ended in error",
        f"task {d.pk} was cancelled",
    ]
    assert flow.progress.is_done
    assert (flow.progress.failed, flow.progress.cancelled) == (1, 2)


def test_a_failure_stops_nothing_where_tasks_run_all_the_same() -> None:
    flow = chain(Named("a"), group(many("b", "c")), group(many("d", "e"))).delay(
        on_dependency_failure="run"
    )
    assert run_all("a", "c") == [["a"], ["b", "c"], ["d", "e"]]
    assert flow.progress.failed == 2


@pytest.mark.parametrize(
    ("failing", "runs"), [((), [["yes", "done"]]), (("b",), [["done"]]), (("a",), [["done"]])]
)
def test_the_last_words_of_a_flow_depend_on_how_it_went(
    failing: tuple[str, ...], runs: list[list[str]]
) -> None:
    flow = chain(Named("a"), group(many("b", "c"))).delay(
        on_success=Named("yes"), on_complete=Named("done")
    )
    levels = run_all(*failing)
    expected = [["a"], *([["b", "c"]] if failing != ("a",) else []), *runs]
    # Whatever succeeds is there first of both, and both come before other tasks.
    assert [sorted(level) for level in levels] == [sorted(level) for level in expected]
    assert row_of(flow.on_complete_id or 0).priority == 9
    assert flow.progress.is_done


def test_on_complete_waits_for_what_runs_beside_a_failure() -> None:
    chain(group(many("a", "b")), Named("c")).delay(on_complete=Named("done"))
    [a, b] = claim()
    record(ended_attempt(a, FAILED))
    tell()
    assert claim() == []
    record(ended_attempt(b))
    tell()
    assert names(claim()) == ["done"]


def test_a_task_reads_the_results_of_those_it_has_waited_for() -> None:
    chain(group(many("a", "b")), group(many("c", "d")), Named("e")).delay()
    assert run_level() == ["a", "b"]
    c, d = claim()
    for task in (c, d):
        processor = Named("x")
        processor.bind(task)
        assert processor.parent_results == ["a", "b"]
        record(ended_attempt(task, result=f'"{names([task])[0]}"'))
    tell()
    [e] = claim()
    processor = Named("x")
    processor.bind(e)
    with CaptureQueriesContext(connection) as queries:
        assert processor.parent_results == ["c", "d"]
    assert len(queries) == 2
    assert Named("x").parent_results == []


def test_the_results_are_there_when_parents_have_been_deleted() -> None:
    flow = chain(group(many("a", "b")), Named("c")).delay()
    run_level()
    [c] = claim()
    parents = list(flow.tasks.filter(status="finished").values_list("pk", flat=True))
    assert lifecycle.delete(parents) == parents
    processor = Named("x")
    processor.bind(c)
    assert processor.parent_results == ["a", "b"]


def test_a_cancelled_flow_ends_what_waits_and_keeps_the_reason() -> None:
    flow = chain(group(many("a", "b")), group(many("c", "d"))).delay()
    [a] = claim(1)
    assert flow.cancel("no longer wanted") == 4
    assert statuses(flow) == {
        "a": "in_process",
        "b": "cancelled",
        "c": "cancelled",
        "d": "cancelled",
    }
    assert row_of(a).cancel_requested_at is not None
    told = Attempt.objects.values_list("message", flat=True)
    assert set(told) == {"no longer wanted"}
    record(ended_attempt(a))
    tell()
    assert claim() == []
    assert flow.progress.is_done
    assert flow.cancel() == 0


def test_only_what_failed_is_retried() -> None:
    flow = chain(group(many("a", "b")), Named("c")).delay()
    run_all("b")
    assert flow.retry() == 1
    assert run_all() == [["b"]]
    assert statuses(flow) == {"a": "finished", "b": "finished", "c": "cancelled"}


def test_from_a_failure_on_everything_is_brought_back() -> None:
    flow = chain(group(many("a", "b", "c")), group(many("d", "e")), Named("f")).delay(
        on_success=Named("yes")
    )
    run_all("a", "c")
    assert flow.progress.cancelled == 4
    assert flow.retry(only_failed=False) == 7
    assert run_all() == [["a", "c"], ["d", "e"], ["f"], ["yes"]]
    assert flow.progress.failed == flow.progress.cancelled == 0
    assert not Task.objects.exclude(blocked_by=0).exists()


def test_what_is_retried_by_hand_is_not_counted_twice() -> None:
    flow = chain(group(many("a", "b")), Named("c")).delay(on_dependency_failure="run")
    a, b = claim()
    record(ended_attempt(a, FAILED))
    tell()
    assert lifecycle.requeue([a.id]) == [a.id]
    assert run_level() == ["a"]
    [c] = flow.tasks.filter(status="waiting")
    assert c.blocked_by == 1
    record(ended_attempt(b))
    tell()
    assert names(claim()) == ["c"]


def test_a_cancelled_task_put_back_by_hand_waits_for_what_has_not_ended() -> None:
    flow = chain(group(many("a", "b")), Named("c")).delay()
    [c] = flow.tasks.filter(status="waiting")
    assert c.cancel()
    assert lifecycle.requeue([c.pk]) == [c.pk]
    assert row_of(c).status == "waiting"
    assert run_all() == [["a", "b"], ["c"]]


def test_a_task_is_added_while_what_comes_last_still_waits() -> None:
    flow = chain(group(many("a", "b")), Named("c")).delay()
    [a, b] = claim()
    added = flow.add(Named("more"))
    assert (added.status, flow.total, flow.progress.total) == ("new", 4, 4)
    record(ended_attempt(a), ended_attempt(b))
    tell()
    assert run_all() == [["more"], ["c"]]


def test_what_a_task_adds_comes_between_it_and_what_follows() -> None:
    flow = chain(Named("a"), Named("b"), Named("c")).delay()
    [a] = claim()
    inside = row_of(a).flow
    assert inside == flow
    inside.add(Named("between"))
    record(ended_attempt(a))
    tell()
    assert run_all() == [["between"], ["b"], ["c"]]


def test_what_is_added_may_wait_for_others() -> None:
    flow = chain(group(many("a", "b")), Named("c")).delay()
    first = flow.tasks[0]
    flow.add(Named("after a"), after=[first])
    assert run_all() == [["a", "b"], ["after a"], ["c"]]


def test_what_is_added_is_a_processor_with_its_arguments() -> None:
    flow = chain(*many("a", "b")).delay()
    with pytest.raises(TypeError, match=r"flow\.add\(\) takes .*write add\.step\(\.\.\.\)"):
        flow.add(add)
    assert flow.add(add.step(1)).flow == flow
    assert flow.tasks.count() == 3


def test_calls_of_functions_and_methods_are_steps() -> None:
    order = Order.objects.create()
    flow = chain(
        add.step(1, times=2),
        group(add.step(number) for number in range(3)),
        group(order.send.step("home", copies=2), Order.send.step(order, "work")),
    ).delay(on_complete=add.step(9))
    levels = []
    while claimed := claim():
        levels.append([row_of(task).arguments for task in claimed])
        for task in claimed:
            record(ended_attempt(task))
        tell()
    assert levels == [
        [{"args": [1], "kwargs": {"times": 2}}],
        [{"args": [number], "kwargs": {}} for number in range(3)],
        [
            {"args": [order.pk, "home"], "kwargs": {"copies": 2}},
            {"args": [order.pk, "work"], "kwargs": {}},
        ],
        [{"args": [9], "kwargs": {}}],
    ]
    assert flow.progress.is_done
    assert Task.objects.for_object(order).count() == 2


def test_nothing_is_added_to_a_flow_of_which_nothing_waits() -> None:
    flow = chain(Named("a"), Named("b")).delay(name="short")
    run_level()
    with pytest.raises(FlowEnded, match="short: nothing that comes last in it waits"):
        flow.add(Named("late"))
    assert flow.tasks.count() == 2


def test_adding_after_a_failure_cancels_what_is_added_and_what_follows() -> None:
    flow = chain(group(many("a", "b")), Named("c")).delay()
    a, b = claim()
    record(ended_attempt(a))
    tell()
    [other] = [Named("other").delay()]
    [claimed] = claim()
    record(ended_attempt(claimed, FAILED))
    added = flow.add(Named("more"), after=[other])
    assert added.status == "cancelled"
    record(ended_attempt(b))
    tell()
    assert statuses(flow)["c"] == "cancelled"


def test_waiting_for_a_flow_ends_with_it_or_with_the_time() -> None:
    flow = chain(*many("a", "b")).delay(name="slow")
    with pytest.raises(TimeoutError, match=r"slow: 0 of 2 tasks have ended within 0\.01 seconds"):
        flow.wait(0.01)
    run_all()
    assert flow.wait().is_done


def test_a_flow_is_drawn_with_equal_tasks_as_one_node() -> None:
    flow = chain(Named("a"), group([Plain(n) for n in range(1_200)]), Named("z")).delay()
    run_level()
    assert flow.to_mermaid().splitlines() == [
        "flowchart LR",
        '    n0["Named · finished"]',
        '    n1["Plain \N{MULTIPLICATION SIGN}1,200 · 0 done"]',
        '    n2["Named · waiting"]',
        "    n0 --> n1",
        "    n1 --> n2",
    ]


def test_a_task_without_a_flow_has_none() -> None:
    assert Plain(1).delay().flow is None


def test_what_runs_at_the_end_in_any_case_does_so_when_what_was_added_fails() -> None:
    flow = chain(*many("a", "b")).delay(on_complete=Named("done"))
    flow.add(Named("more"))
    assert run_all("more") == [["a", "more"], ["b"], ["done"]]


@pytest.mark.parametrize("make", [chain, lambda inner: inner.then(Named("b"))])
def test_last_words_inside_of_a_flow_are_refused(make: Callable[[Any], object]) -> None:
    inner = group([Named("a")], on_success=Named("yes"))
    with pytest.raises(ValueError, match="only a whole flow has on_success and on_complete"):
        make(inner)
