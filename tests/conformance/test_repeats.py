"""A chain of repeats: each link that finishes has one follower, in whatever way it is recorded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from django_partisan import lifecycle
from django_partisan.attempt import (
    CANCELLED,
    CRASHED,
    FAILED,
    ORPHANED,
    POSTPONED,
    RELEASED,
    RETRIED,
)
from django_partisan.config import const
from django_partisan.database import dialect_for
from django_partisan.lifecycle.transitions import updates_of
from django_partisan.models import Attempt, Task
from tests.support.factories import (
    claim,
    ended_attempt,
    finish,
    record,
    record_and_claim,
    rescue,
    row_of,
    seconds_from_now,
    take_over,
)
from tests.support.processors import InOtherQueue, Plain, Replacing, Unique, UniqueUntilFinish

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def make_due() -> None:
    """Let all that waits be due, whatever its slot is."""
    Task.objects.filter(status="new").update(execute_after=Now() - timedelta(seconds=1))


def begun(processor: Plain | None = None, **options: Any) -> Task:
    """Begin a chain with a link every hour."""
    return (processor or Plain("a", b=1)).delay(**{"repeat": const.HOURLY, **options})


def run_link(kind: str = "finished", **options: Any) -> None:
    """Run the only task that is due to an end."""
    make_due()
    [task] = claim()
    assert record(ended_attempt(task, kind), **options)


def waiting() -> Task:
    return Task.objects.get(status="new")


# ----- the follower


def test_a_link_that_finishes_is_followed_one_step_after_its_slot() -> None:
    first = begun(InOtherQueue("a", b=1), priority=-3)
    [task] = claim(queue="other")
    assert finish(task) == {first.pk}
    link, follower = row_of(first), waiting()
    assert (link.status, link.repeat_seconds, link.repeat_slot) == (
        "finished", None, first.execute_after,
    )  # fmt: skip
    assert follower.pk != first.pk
    assert follower.execute_after == follower.repeat_slot == first.execute_after + HOUR
    same = ("processor_class", "arguments", "priority", "queue_name")
    assert [getattr(follower, name) for name in same] == [getattr(first, name) for name in same]
    assert (follower.repeat_seconds, follower.repeat_until) == (3600, None)
    assert (follower.attempts, follower.lease, follower.started_at) == (0, 0, None)
    assert follower.created_at > first.created_at


def test_what_delay_returns_is_what_is_stored() -> None:
    until = timezone.now() + HOUR
    names = ("repeat_seconds", "repeat_until", "repeat_slot", "execute_after", "unique_key")
    [many] = Unique.delay_many([(2,)], repeat=timedelta(hours=1), repeat_until=until)
    for task in (begun(Unique(1), repeat_until=until), many, Unique(3).delay()):
        row = row_of(task)
        assert [getattr(task, name) for name in names] == [getattr(row, name) for name in names]


def test_each_task_of_a_batch_begins_a_chain() -> None:
    tasks = Plain.delay_many([(1,), (2,)], repeat=const.DAILY)
    assert record(*map(ended_attempt, claim())) == {task.pk for task in tasks}
    followers = Task.objects.filter(status="new").order_by("pk")
    assert [task.arguments["args"] for task in followers] == [[1], [2]]
    assert {task.repeat_slot for task in followers} == {tasks[0].execute_after + timedelta(days=1)}


def test_arguments_are_handed_on_as_they_are() -> None:
    begun(Plain(1e22, 1.0, "é\\", {"a": [1e-7]}))
    run_link()
    run_link()
    args = waiting().arguments["args"]
    assert args == [1e22, 1.0, "é\\", {"a": [1e-7]}]
    assert type(args[0]) is float


def test_slots_that_are_past_are_skipped() -> None:
    first = begun(execute_after=timezone.now() - timedelta(hours=5, minutes=30))
    run_link()
    assert waiting().execute_after == first.execute_after + 6 * HOUR


def test_a_slot_at_the_end_is_the_last_one() -> None:
    now = timezone.now().replace(microsecond=0)
    first = begun(execute_after=now, repeat_until=now + 2 * HOUR)
    for _ in range(3):
        run_link()
    slots = Task.objects.order_by("pk").values_list("repeat_slot", flat=True)
    assert list(slots) == [first.execute_after + n * HOUR for n in range(3)]
    assert set(Task.objects.values_list("status", "repeat_seconds")) == {("finished", None)}


@pytest.mark.parametrize("kind", [RETRIED, POSTPONED, RELEASED, CRASHED, ORPHANED])
def test_a_link_that_waits_again_keeps_its_slot(kind: str) -> None:
    first = begun()
    run_link(kind)
    assert Task.objects.count() == 1
    run_link()
    assert waiting().execute_after == first.execute_after + HOUR


def test_a_rescued_link_and_one_that_was_taken_over_go_on() -> None:
    first = begun()
    claim()
    assert rescue() == [first.pk]
    claim()
    [task] = take_over()
    finish(task)
    assert waiting().execute_after == first.execute_after + HOUR


# ----- the end of a chain


@pytest.mark.parametrize("kind", [FAILED, CANCELLED])
def test_a_link_that_ends_otherwise_is_the_last_one(
    kind: str, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:
    first = begun()
    with django_capture_on_commit_callbacks(execute=True):
        run_link(kind)
    assert Task.objects.count() == 1
    assert f"task {first.pk} was the last of its chain of repeats: it ended as" in caplog.text


def test_a_link_that_is_given_up_is_the_last_one() -> None:
    begun()
    Task.objects.update(crashes=100)
    run_link(CRASHED)
    assert [task.status for task in Task.objects.all()] == ["error"]


def test_cancelling_a_waiting_link_ends_the_chain() -> None:
    assert begun().cancel()
    assert [task.status for task in Task.objects.all()] == ["cancelled"]


def test_a_link_that_finishes_although_it_was_to_be_cancelled_is_the_last_one() -> None:
    first = begun()
    [task] = claim()
    assert first.cancel()
    finish(task)
    assert [task.status for task in Task.objects.all()] == ["finished"]
    assert row_of(first).repeat_seconds is None


@pytest.mark.parametrize("kind", [FAILED, CANCELLED])
def test_a_chain_goes_on_where_its_last_link_is_put_back(kind: str) -> None:
    first = begun(Unique())
    run_link(kind)
    lifecycle.requeue([first.pk])
    run_link()
    assert waiting().execute_after == first.execute_after + HOUR


def test_a_link_that_was_followed_and_is_put_back_has_no_second_follower() -> None:
    first = begun(Unique())
    run_link()
    lifecycle.requeue([first.pk])
    [task] = claim()
    finish(task)
    assert waiting().pk != first.pk


# ----- one follower for each


def test_an_outcome_that_is_recorded_twice_has_one_follower() -> None:
    begun()
    [task] = claim()
    assert finish(task)
    assert not finish(task)
    assert Task.objects.count() == 2


def test_an_outcome_under_a_lease_that_has_passed_has_no_follower() -> None:
    begun()
    [task] = claim()
    rescue()
    assert not finish(task)
    assert Task.objects.count() == 1


@pytest.mark.parametrize("delete", [False, True])
def test_links_and_other_tasks_are_recorded_together(delete: bool) -> None:
    begun()
    Plain(1).delay()
    tasks = claim()
    assert record(*map(ended_attempt, tasks), delete_finished=delete) == {t.id for t in tasks}
    assert Task.objects.filter(status="new").count() == 1
    assert Task.objects.filter(status="finished").count() == (0 if delete else 2)


def test_a_link_that_is_deleted_on_completion_is_followed() -> None:
    first = begun(Unique("a"))
    run_link(RETRIED)
    run_link(delete_finished=True)
    assert waiting().execute_after == first.execute_after + HOUR
    assert waiting().unique_key is not None
    assert not Attempt.objects.exists()


def test_a_link_is_followed_where_it_is_completed_by_hand() -> None:
    begun()
    [task] = Task.objects.select_for_process()
    assert task.run() == [["a"], {"b": 1}]
    task.complete()
    assert waiting().pk != task.pk


def test_outcome_and_follower_are_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    def strike(label: str) -> None:
        if label == "manager.recorded_without_followers":
            raise ConnectionError

    begun()
    [task] = claim()
    monkeypatch.setattr(sys.modules["django_partisan.lifecycle.record"], "reach", strike)
    with pytest.raises(ConnectionError), transaction.atomic():
        finish(task)
    assert [task.status for task in Task.objects.all()] == ["in_process"]


def test_a_plain_task_is_recorded_by_one_statement_as_ever(
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    Plain().delay()
    [task] = claim()
    with django_assert_num_queries(1):
        finish(task)


# ----- uniqueness


@pytest.mark.parametrize("processor", [Unique, UniqueUntilFinish])
def test_a_chain_that_is_there_is_found_whatever_its_link_does(processor: type[Plain]) -> None:
    first = begun(processor())
    again = begun(processor(), repeat=60)
    assert (again.pk, again.was_duplicate, again.repeat_seconds) == (first.pk, True, 3600)
    [task] = claim()
    assert begun(processor()).pk == first.pk, "while it runs"
    finish(task)
    assert begun(processor()).pk == waiting().pk != first.pk


@pytest.mark.parametrize("processor", [Unique, UniqueUntilFinish])
def test_a_task_of_the_moment_and_a_chain_are_no_duplicates(processor: type[Plain]) -> None:
    first = begun(processor())
    [task] = claim()
    now = processor().delay()
    assert not now.was_duplicate
    finish(task)
    assert Task.objects.filter(status="new").count() == 2, "it did not swallow the follower"
    assert processor().delay().pk == now.pk
    assert begun(processor()).repeat_slot == first.execute_after + HOUR


def test_a_chain_that_has_ended_keeps_no_other_out() -> None:
    first = begun(Unique())
    first.cancel()
    assert not begun(Unique()).was_duplicate


def test_a_link_that_is_put_back_beside_a_new_chain_joins_it() -> None:
    first = begun(Unique())
    run_link(FAILED)
    other = begun(Unique(), execute_after=HOUR)
    lifecycle.requeue([first.pk])
    [task] = claim()
    finish(task)
    assert waiting().pk == other.pk


def test_a_link_that_has_been_followed_holds_nothing_of_its_chain_when_it_is_put_back() -> None:
    first = begun(Unique())
    [task] = claim()
    finish(task)
    waiting().cancel()
    lifecycle.requeue([first.pk])
    assert not begun(Unique()).was_duplicate


def test_on_duplicate_replace_gives_a_chain_another_rhythm() -> None:
    first = begun(Replacing())
    again = begun(Replacing(), repeat=60, execute_after=HOUR)
    [many] = Replacing.delay_many([()], repeat=60, execute_after=HOUR)
    assert first.pk == again.pk == many.pk
    assert again.was_duplicate
    assert many.repeat_seconds == 60
    assert seconds_from_now(many.repeat_slot) == pytest.approx(3600, abs=60)
    assert many.repeat_slot == many.execute_after


# ----- beside managers of an earlier version


def record_as_before(task: Any) -> None:
    """Record a task as a version does that knows no repeats."""
    dialect_for().record(connection, updates_of([ended_attempt(task)]))


def test_a_chain_that_an_earlier_version_let_end_is_taken_up_once() -> None:
    first = begun(Unique())
    begun(Unique("ended"), repeat_until=timezone.now() + HOUR / 2)
    for task in claim():
        record_as_before(task)
    assert not Task.objects.filter(status="new").exists()
    assert lifecycle.take_up() == 2
    assert waiting().execute_after == first.execute_after + HOUR
    assert lifecycle.take_up() == 0
    assert Task.objects.count() == 3


def test_chains_that_have_failed_are_not_taken_up() -> None:
    begun()
    run_link(FAILED)
    assert lifecycle.take_up() == 0


def test_a_claim_tells_which_task_is_a_link() -> None:
    begun()
    [task] = claim()
    assert task.repeat_seconds == 3600
    Plain().delay()
    _, [plain] = record_and_claim([], 5)
    assert plain.repeat_seconds is None
