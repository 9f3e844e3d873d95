"""A task that waits for others runs once they have ended, or is cancelled with the reason."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections, transaction

from django_partisan import lifecycle
from django_partisan.attempt import (
    CANCELLED,
    FAILED,
    FINISHED,
    RELEASED,
    RETRIED,
    ClaimedTask,
)
from django_partisan.exceptions import DependencyNotFound
from django_partisan.lifecycle import dependencies
from django_partisan.models import Dependency, Task, Untold
from tests.support.factories import (
    MAX_RESCUES,
    attempts_of,
    claim,
    claim_new,
    ended_attempt,
    enqueue,
    finish,
    ids_of,
    locked_by_a_stranger,
    record,
    record_and_claim,
    rescue,
    row_of,
)
from tests.support.processors import Plain, Unique

pytestmark = pytest.mark.django_db


def tell() -> None:
    """Tell until nobody is left who could be told."""
    while lifecycle.tell_dependents().has_more:
        pass


def finished(task: ClaimedTask) -> None:
    assert finish(task)


def failed(task: ClaimedTask) -> None:
    assert record(ended_attempt(task, FAILED))


def cancelled_itself(task: ClaimedTask) -> None:
    assert record(ended_attempt(task, CANCELLED))


def finished_with_a_claim(task: ClaimedTask) -> None:
    recorded, _ = record_and_claim([ended_attempt(task)], 0)
    assert recorded == {task.id}


def finished_for_good(task: ClaimedTask) -> None:
    assert record(ended_attempt(task), delete_finished=True)


def rescued_and_finished(task: ClaimedTask) -> None:
    assert rescue() == [task.id]
    [again] = claim()
    finished(again)


def given_up(task: ClaimedTask) -> None:
    for _ in range(MAX_RESCUES):
        lifecycle.mark_started([task])
        rescue()
        [task] = claim()
    lifecycle.mark_started([task])
    rescue()


def retried_and_finished(task: ClaimedTask) -> None:
    assert record(ended_attempt(task, RETRIED))
    tell()
    [again] = claim()
    finished(again)


ENDS: dict[Callable[[ClaimedTask], None], tuple[str, str]] = {
    finished: ("new", ""),
    finished_with_a_claim: ("new", ""),
    finished_for_good: ("new", ""),
    rescued_and_finished: ("new", ""),
    retried_and_finished: ("new", ""),
    failed: ("cancelled", "task {} ended in error"),
    given_up: ("cancelled", "task {} ended in error"),
    cancelled_itself: ("cancelled", "task {} was cancelled"),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("policy", ["cancel", "run"])
def test_a_dependent_is_told_how_its_task_has_ended(
    end: Callable[[ClaimedTask], None], policy: str
) -> None:
    [parent] = claim_new()
    child = Plain("child").delay(after=[row_of(parent)], on_dependency_failure=policy)
    assert (child.status, child.blocked_by) == ("waiting", 1)
    assert claim() == []
    end(parent)
    tell()
    status, reason = ENDS[end] if policy == "cancel" else ("new", "")
    row = row_of(child)
    assert (row.status, row.blocked_by) == (status, 0)
    assert [attempt.message for attempt in attempts_of(child)] == [
        reason.format(parent.id) for _ in range(bool(reason))
    ]
    assert not Untold.objects.exists()
    assert ids_of(claim()) == ([child.pk] if status == "new" else [])


@pytest.mark.parametrize("policy", ["cancel", "run"])
def test_a_dependent_is_told_that_its_task_was_cancelled_while_it_waited(policy: str) -> None:
    [parent] = enqueue()
    child = Plain("child").delay(after=[parent], on_dependency_failure=policy)
    with transaction.atomic():
        assert parent.cancel()
    tell()
    assert row_of(child).status == {"cancel": "cancelled", "run": "new"}[policy]


@pytest.mark.parametrize("policy", ["cancel", "run"])
def test_a_dependent_is_told_that_its_task_has_expired(policy: str) -> None:
    [parent] = enqueue()
    child = Plain("child").delay(after=[parent], on_dependency_failure=policy)
    Task.objects.filter(pk=parent.pk).update(expires_at="2020-01-01T00:00Z")
    assert lifecycle.expire() == [parent.pk]
    tell()
    assert row_of(child).status == {"cancel": "cancelled", "run": "new"}[policy]


def test_a_claim_that_ends_what_has_expired_leaves_a_mark() -> None:
    [parent] = enqueue()
    child = Plain("child").delay(after=[parent])
    Task.objects.filter(pk=parent.pk).update(expires_at="2020-01-01T00:00Z")
    assert claim() == []
    tell()
    assert row_of(child).status == "cancelled"


@pytest.mark.parametrize("policy", ["cancel", "run"])
def test_a_dependent_is_told_that_its_task_was_deleted(policy: str) -> None:
    [parent] = enqueue()
    child = Plain("child").delay(after=[parent], on_dependency_failure=policy)
    assert lifecycle.delete([parent.pk]) == [parent.pk]
    tell()
    assert row_of(child).status == {"cancel": "cancelled", "run": "new"}[policy]
    told = [attempt.message for attempt in attempts_of(child)]
    assert told == [f"task {parent.pk} was deleted"] * (policy == "cancel")


def test_a_dependent_waits_for_each_of_its_tasks() -> None:
    parents = claim_new(3)
    child = Plain("child").delay(after=[row_of(parent) for parent in parents])
    for left, parent in zip((2, 1), parents, strict=False):
        finished(parent)
        tell()
        assert (row_of(child).status, row_of(child).blocked_by) == ("waiting", left)
    finished(parents[2])
    tell()
    assert ids_of(claim()) == [child.pk]


def test_one_record_of_many_tells_each_dependent_once() -> None:
    parents = claim_new(20)
    rows = [row_of(parent) for parent in parents]
    children = [Plain(f"child {n}").delay(after=rows[n : n + 5]) for n in range(15)]
    assert len(record(*map(ended_attempt, parents))) == 20
    assert Untold.objects.count() == 1
    tell()
    assert {row_of(child).status for child in children} == {"new"}


def test_telling_again_tells_nothing() -> None:
    [parent] = claim_new()
    child = Plain("child").delay(after=[row_of(parent)])
    finished(parent)
    tell()
    assert lifecycle.tell_dependents() == (set(), [], False, False)
    assert row_of(child).blocked_by == 0


def test_a_cancelled_dependent_has_its_own_dependents_cancelled() -> None:
    [first] = claim_new()
    chain = [row_of(first)]
    for number in range(4):
        chain.append(Plain(f"link {number}").delay(after=[chain[-1]]))
    failed(first)
    tell()
    assert [row_of(task).status for task in chain] == ["error", *["cancelled"] * 4]
    assert attempts_of(chain[2])[0].message == f"task {chain[1].pk} was cancelled"


def test_a_dependent_of_two_that_fail_one_after_the_other_counts_each_once() -> None:
    """A diamond: what is cancelled already must not be told of as if it were cancelled again."""
    left, right = claim_new(2)
    middle = Plain("middle").delay(after=[row_of(left), row_of(right)])
    other, another = claim_new(2)
    last = Plain("last").delay(
        after=[middle, row_of(other), row_of(another)], on_dependency_failure="run"
    )
    for task in (left, right):
        failed(task)
        tell()
    assert row_of(middle).status == "cancelled"
    assert (row_of(last).status, row_of(last).blocked_by) == ("waiting", 2)
    finished(other)
    finished(another)
    tell()
    assert (row_of(last).status, row_of(last).blocked_by) == ("new", 0)


def test_a_dependent_is_not_due_before_its_own_time() -> None:
    [parent] = claim_new()
    child = Plain("child").delay(after=[row_of(parent)], execute_after=3600)
    finished(parent)
    tell()
    assert row_of(child).status == "new"
    assert claim() == []


def test_a_task_is_told_of_that_was_named_after_its_claim() -> None:
    """What the manager holds of a claimed task is older than who waits for it."""
    [parent] = claim_new()
    child = Plain("child").delay(after=[row_of(parent)])
    recorded = record(ended_attempt(parent))
    assert getattr(recorded, "has_marks", None) is True
    tell()
    assert row_of(child).status == "new"


def test_a_plain_record_leaves_no_mark() -> None:
    tasks = claim_new(3)
    assert len(record(*map(ended_attempt, tasks))) == 3
    assert not Untold.objects.exists()


def test_what_has_finished_before_is_not_waited_for() -> None:
    [parent] = claim_new()
    finished(parent)
    child = Plain("child").delay(after=[row_of(parent)])
    assert child.status == "new"
    assert ids_of(claim()) == [child.pk]


def test_what_has_failed_before_cancels_at_once_with_the_reason() -> None:
    parents = claim_new(2)
    failed(parents[0])
    child = Plain("child").delay(after=[row_of(parent) for parent in parents])
    assert child.status == row_of(child).status == "cancelled"
    assert row_of(child).finished_at is not None
    assert [attempt.message for attempt in attempts_of(child)] == [
        f"task {parents[0].id} ended in error"
    ]
    finished(parents[1])
    tell()
    assert (row_of(child).status, row_of(child).blocked_by) == ("cancelled", 0)


def test_what_has_failed_before_does_not_matter_to_who_runs_all_the_same() -> None:
    [parent] = claim_new()
    failed(parent)
    child = Plain("child").delay(after=[row_of(parent)], on_dependency_failure="run")
    assert ids_of(claim()) == [child.pk]


def test_an_unknown_task_is_named_and_nothing_is_stored() -> None:
    [parent] = enqueue()
    gone = Task(pk=parent.pk + 1000)
    with pytest.raises(
        DependencyNotFound, match=f"task {gone.pk} is not there.*Nothing was stored"
    ):
        Plain("child").delay(after=[parent, gone])
    assert Task.objects.count() == 1
    assert not Dependency.objects.exists()


def test_a_batch_waits_for_the_same_tasks() -> None:
    parents = claim_new(2)
    children = Plain.delay_many(
        [(f"child {n}",) for n in range(50)], after=[row_of(parent) for parent in parents]
    )
    assert {(child.status, child.blocked_by) for child in children} == {("waiting", 2)}
    for parent in parents:
        finished(parent)
    tell()
    assert set(ids_of(claim())) == {child.pk for child in children}


def test_a_dependent_that_waits_keeps_its_duplicates_out() -> None:
    [parent] = claim_new()
    child = Unique("child").delay(after=[row_of(parent)])
    again = Unique("child").delay()
    assert (again.pk, again.was_duplicate) == (child.pk, True)


def test_a_waiting_dependent_can_be_cancelled_and_is_told_nothing_then() -> None:
    [parent] = claim_new()
    child = Plain("child").delay(after=[row_of(parent)])
    assert child.cancel()
    assert child.status == "cancelled"
    finished(parent)
    tell()
    assert row_of(child).status == "cancelled"
    assert attempts_of(child) == []


def recorded(kind: str, *, delete_finished: bool = False) -> Callable[[ClaimedTask], None]:
    """Return the end of a task that is recorded as soon as nobody has its row locked."""

    def end(parent: ClaimedTask) -> None:
        while not record(ended_attempt(parent, kind), delete_finished=delete_finished):
            pass

    return end


def deleted(parent: ClaimedTask) -> None:
    """Give a task back, and delete it before anybody takes it up."""
    recorded(RELEASED)(parent)
    while not lifecycle.delete([parent.id]):
        pass


def _close(gate: threading.Barrier) -> None:
    gate.wait()
    connections.close_all()


RACES: dict[str, Callable[[ClaimedTask], None]] = {
    "finished": recorded(FINISHED),
    "failed": recorded(FAILED),
    "cancelled": recorded(CANCELLED),
    "finished and deleted": recorded(FINISHED, delete_finished=True),
    "deleted": deleted,
}
ROUNDS = [25, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(600)])]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("policy", ["cancel", "run"])
@pytest.mark.parametrize("kind", RACES)
def test_a_task_that_ends_while_it_is_named_is_never_waited_for_in_vain(
    kind: str, policy: str, rounds: int
) -> None:
    parents = claim_new(rounds)

    def name(parent: ClaimedTask) -> Task | None:
        try:
            return Plain(f"child of {parent.id}").delay(
                after=[Task(pk=parent.id)], on_dependency_failure=policy
            )
        except DependencyNotFound:
            return None

    def end(parent: ClaimedTask) -> None:
        RACES[kind](parent)
        tell()

    is_doomed = policy == "cancel" and not kind.startswith("finished")
    expected = ("cancelled" if is_doomed else "new", 0)
    with ThreadPoolExecutor(2) as pool:
        for parent in parents:
            named, ended = pool.submit(name, parent), pool.submit(end, parent)
            ended.result()
            child = named.result()
            tell()
            assert child is not None or "deleted" in kind
            if child is not None:
                row = row_of(child)
                assert (row.status, row.blocked_by) == expected
        at_the_end = threading.Barrier(2)
        for _ in range(2):
            pool.submit(_close, at_the_end)
    assert not Untold.objects.exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_locked_dependent_is_told_when_it_is_free_and_keeps_nobody_waiting() -> None:
    [parent, other] = claim_new(2)
    child = Plain("child").delay(after=[row_of(parent)])
    sibling = Plain("sibling").delay(after=[row_of(other)])

    def told_beside_a_lock() -> tuple[bool, bool]:
        try:
            told = lifecycle.tell_dependents()
            return told.has_locked, told.has_more
        finally:
            connections.close_all()

    record(ended_attempt(parent), ended_attempt(other))
    with transaction.atomic():
        Task.objects.select_for_update().get(pk=child.pk)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(told_beside_a_lock).result() == (True, False)
    assert (row_of(child).status, row_of(sibling).status) == ("waiting", "new")
    tell()
    assert row_of(child).status == "new"
    assert not Untold.objects.exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_many_that_have_their_dependents_locked_keep_no_other_end_from_being_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A long transaction that has locked what a whole group leads to must not stop all flows."""
    monkeypatch.setattr(dependencies, "TELL_BATCH", 2)
    parents, [other] = claim_new(5), claim_new()
    join = Plain("join").delay(after=[row_of(parent) for parent in parents])
    sibling = Plain("sibling").delay(after=[row_of(other)])
    for parent in (*parents, other):
        finished(parent)
    with locked_by_a_stranger(join.pk):
        told = [lifecycle.tell_dependents() for _ in range(4)][-1]
        assert told.has_locked
        assert not told.has_more, "whoever tells in passing does not wait for the lock"
        assert (row_of(join).status, row_of(sibling).status) == ("waiting", "new")
    tell()
    assert (row_of(join).status, row_of(join).blocked_by) == ("new", 0)
    assert not Untold.objects.exists()


def test_the_result_of_a_task_that_had_finished_before_stays_when_it_is_deleted() -> None:
    before, meanwhile = claim_new(2)
    assert record(ended_attempt(before, result='"before"'))
    child = Plain("child").delay(after=[row_of(before), row_of(meanwhile)])
    assert lifecycle.delete([before.id]) == [before.id]
    assert record(ended_attempt(meanwhile, result='"meanwhile"'))
    tell()
    assert dependencies.results_of_parents(child.pk) == ["before", "meanwhile"]
