"""A database cancels what waits, and what is in process as asked: once, and never unheard."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from django_partisan import lifecycle, registry
from django_partisan.attempt import (
    CANCELLED,
    CRASHED,
    FAILED,
    FINISHED,
    ORPHANED,
    POSTPONED,
    RELEASED,
    RETRIED,
    ClaimedTask,
)
from django_partisan.exceptions import CancelTask
from django_partisan.lifecycle import request_cancel
from django_partisan.models import Task
from django_partisan.processor import BaseTaskProcessor
from tests.support.factories import (
    OWNER,
    RIVAL,
    at_once,
    attempts_of,
    claim,
    claim_new,
    ended_attempt,
    enqueue,
    finish,
    ids_of,
    record,
    rescue,
    row_of,
    seconds_from_now,
    statuses,
    take_over,
)
from tests.support.helpers import HANG_SECONDS
from tests.support.processors import Unique, UniqueUntilFinish

pytestmark = pytest.mark.django_db


@registry.register
class Stopping(BaseTaskProcessor):
    def run(self) -> None:
        raise CancelTask


def asked(task: ClaimedTask) -> ClaimedTask:
    """Ask for the end of a task in process."""
    assert request_cancel([task.id]) == ([], [task.id])
    return task


# --- what waits


def test_a_waiting_task_is_cancelled_at_once() -> None:
    [task] = enqueue()
    assert request_cancel([task.pk]) == ([task.pk], [])
    row = row_of(task)
    assert (row.status, row.attempts, row.lease) == ("cancelled", 0, 0)
    assert seconds_from_now(row.finished_at) == pytest.approx(0, abs=2)
    assert seconds_from_now(row.cancel_requested_at) == pytest.approx(0, abs=2)
    assert claim() == []


def test_a_future_task_is_cancelled_as_well() -> None:
    [task] = enqueue(execute_after=3600)
    assert task.cancel()
    assert (task.status, row_of(task).status) == ("cancelled", "cancelled")


@pytest.mark.parametrize("processor", [Unique, UniqueUntilFinish])
def test_cancelling_frees_the_key_of_a_unique_task(processor: type[Unique]) -> None:
    first = processor("a").delay()
    first.cancel()
    assert first.unique_key is None
    assert processor("a").delay().pk != first.pk


def test_what_has_ended_stays_as_it_is() -> None:
    finished, failed, cancelled = claim_new(3)
    finish(finished)
    record(ended_attempt(failed, FAILED), ended_attempt(cancelled, CANCELLED))
    before = list(Task.objects.order_by("pk").values())
    assert request_cancel([finished.id, failed.id, cancelled.id, 10**9]) == ([], [])
    assert list(Task.objects.order_by("pk").values()) == before
    assert row_of(finished).cancel() is False


def test_a_deleted_task_cannot_be_cancelled() -> None:
    [task] = enqueue()
    Task.objects.all().delete()
    assert task.cancel() is False


def test_asking_for_nothing_asks_nobody(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert request_cancel([]) == ([], [])


# --- what is in process


def test_a_task_in_process_is_marked_and_stays_with_its_owner() -> None:
    [task] = claim_new()
    row = row_of(task)
    assert row.cancel() is True
    assert (row.status, row.finished_at) == ("in_process", None)
    assert seconds_from_now(row.cancel_requested_at) == pytest.approx(0, abs=2)
    assert row_of(task).lease == task.lease
    assert lifecycle.requests_to(OWNER) == {task.id: task.lease}
    assert lifecycle.requests_to(RIVAL) == {}


def test_asking_twice_keeps_the_first_moment() -> None:
    [task] = claim_new()
    first = row_of(asked(task)).cancel_requested_at
    assert row_of(asked(task)).cancel_requested_at == first


def test_a_stopped_task_ends_as_cancelled_under_its_lease() -> None:
    [task] = claim_new()
    asked(task)
    stale = task._replace(lease=task.lease + 1)
    assert record(ended_attempt(stale, CANCELLED)) == set()
    assert record(ended_attempt(task, CANCELLED)) == {task.id}
    row = row_of(task)
    assert (row.status, row.attempts, row.manager_id) == ("cancelled", 1, None)
    assert row.finished_at is not None
    [attempt] = attempts_of(task)
    assert (attempt.outcome, attempt.message) == ("cancelled", "it went boom")
    assert lifecycle.requests_to(OWNER) == {}


@pytest.mark.parametrize(
    ("kind", "attempts", "told"),
    [
        (RELEASED, 0, []),
        (RETRIED, 1, ["cancelled"]),
        (POSTPONED, 0, []),
        (CRASHED, 1, ["cancelled"]),
        (ORPHANED, 0, ["cancelled"]),
    ],
)
def test_what_would_wait_again_is_cancelled_instead(
    kind: str, attempts: int, told: list[str]
) -> None:
    task = asked(claim_new()[0])
    assert record(ended_attempt(task, kind)) == {task.id}
    row = row_of(task)
    assert (row.status, row.attempts, row.unique_key) == ("cancelled", attempts, None)
    assert row.finished_at is not None
    assert [attempt.outcome for attempt in attempts_of(task)] == told


@pytest.mark.parametrize(("kind", "status"), [(FINISHED, "finished"), (FAILED, "error")])
def test_code_that_came_to_its_own_end_first_has_its_own_outcome(kind: str, status: str) -> None:
    task = asked(claim_new()[0])
    assert record(ended_attempt(task, kind)) == {task.id}
    assert row_of(task).status == status


def test_a_rescue_cancels_the_orphans_whose_end_was_asked_for() -> None:
    first, second = claim_new(2)
    asked(first)
    assert rescue() == [first.id, second.id]
    assert statuses() == ["cancelled", "new"]
    assert [attempt.outcome for attempt in attempts_of(first)] == ["cancelled"]


def test_a_take_over_leaves_those_to_the_rescue() -> None:
    first, second = claim_new(2)
    asked(first)
    assert ids_of(take_over()) == [second.id]
    assert rescue() == [first.id]
    assert statuses() == ["cancelled", "in_process"]


def test_a_requeued_task_runs_again_and_can_be_cancelled_again() -> None:
    [task] = enqueue()
    task.cancel()
    assert lifecycle.requeue([task.pk]) == [task.pk]
    assert row_of(task).cancel_requested_at is None
    [claimed] = claim()
    record(ended_attempt(claimed, RETRIED))
    assert statuses() == ["new"]


def test_a_unique_task_keeps_its_duplicates_out_until_it_has_stopped() -> None:
    first = UniqueUntilFinish("a").delay()
    [claimed] = claim()
    first.cancel()
    assert UniqueUntilFinish("a").delay().pk == first.pk
    record(ended_attempt(claimed, CANCELLED))
    assert UniqueUntilFinish("a").delay().pk != first.pk


def test_a_task_that_is_run_by_hand_and_cancels_itself_is_cancelled() -> None:
    Stopping().delay()
    [task] = Task.objects.select_for_process(1)
    assert task.run() is None
    task.complete()
    assert statuses() == ["cancelled"]


# --- rivals


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_round", range(5))
def test_of_a_cancel_and_a_claim_one_comes_first(_round: int) -> None:
    tasks = enqueue(20)
    everything = ids_of(tasks)
    (cancelled, requested), claimed = _race(everything, partial(claim, 20))
    assert set(cancelled).isdisjoint(ids_of(claimed))
    assert set(requested) <= set(ids_of(claimed))
    assert sorted([*cancelled, *requested]) == everything
    assert lifecycle.requests_to(OWNER) == dict.fromkeys(requested, 1)
    for task in Task.objects.all():
        assert task.status == ("cancelled" if task.pk in cancelled else "in_process")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", [FINISHED, RETRIED, FAILED])
def test_of_a_cancel_and_an_end_one_comes_first(kind: str) -> None:
    tasks = claim_new(20)
    ended_attempts = [ended_attempt(task, kind) for task in tasks]
    (cancelled, requested), _ = _race(ids_of(tasks), partial(_record_all, ended_attempts))
    left = {"finished": "finished", "failed": "error", "retried": "cancelled"}[kind]
    assert statuses() == [left] * 20, "a task that was given back first is cancelled as it waits"
    if kind != RETRIED:
        assert cancelled == []
    assert len({*cancelled, *requested}) == len([*cancelled, *requested])


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_task_that_ends_while_a_cancel_waits_for_its_row_stays_as_it_ended() -> None:
    [task] = claim_new()
    is_recorded, may_commit = threading.Event(), threading.Event()

    def end() -> None:
        with contextlib.closing(connection), transaction.atomic():
            finish(task)
            is_recorded.set()
            may_commit.wait(HANG_SECONDS)

    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(end)
        assert is_recorded.wait(HANG_SECONDS)
        threading.Timer(0.2, may_commit.set).start()
        assert request_cancel([task.id]) == ([], [])
        ended.result()
    row = row_of(task)
    assert (row.status, row.cancel_requested_at) == ("finished", None)
    assert row.finished_at is not None


@pytest.mark.django_db(transaction=True)
def test_of_a_cancel_and_a_rescue_one_comes_first() -> None:
    tasks = claim_new(20)
    (cancelled, requested), rescued = _race(ids_of(tasks), rescue)
    # Rows that the cancel had locked are skipped, and rescued the next time.
    assert {*rescued, *rescue()} == set(ids_of(tasks))
    assert sorted([*cancelled, *requested]) == ids_of(tasks)
    assert set(statuses()) == {"cancelled"}
    assert claim(owner=RIVAL) == []


def _race(ids: list[int], rival: Callable[[], Any]) -> Any:
    """Ask for the end of tasks while a rival has a verb of its own; return what both did."""
    return at_once(partial(request_cancel, ids), rival)


def _record_all(ended_attempts: Any) -> set[int]:
    """Record as the manager does: what a rival has locked for a moment is tried again."""
    left = {ended.task.id: ended for ended in ended_attempts}
    while left:
        for task_id in record(*left.values()):
            del left[task_id]
        held = lifecycle.still_held(list(left.values()))
        left = {task_id: ended for task_id, ended in left.items() if task_id in held}
    return set()
