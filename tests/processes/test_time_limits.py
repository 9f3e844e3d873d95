"""Tasks that run longer than they may: row 14 of the faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from django_partisan.models import Attempt, Task
from tests.app.models import Ledger
from tests.app.partisan_tasks import Note, Sleep, WaitForFile
from tests.app.stopped_tasks import (
    BlockInC,
    DeafenAndSleep,
    Limited,
    LoopLimited,
    RetryWhenTimedOut,
    SleepInDatabase,
    SleepLimited,
    SwallowAndGoOn,
    TidyUpWhenTimedOut,
)
from tests.processes.conftest import StartManager
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, assert_no_other_was_charged, started, worker_of

TIMED_OUT = "django_partisan.exceptions.TaskTimedOut"
LIMIT, GRACE = Limited.TIMEOUT_SECONDS or 0, Limited.GRACE_SECONDS
MUCH = 30
"""Less than what a task that is not stopped takes."""


def test_tasks_are_interrupted_when_their_time_is_over(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 3})
    late = book.enqueue(SleepLimited(60), LoopLimited(), TidyUpWhenTimedOut())
    wait_until(lambda: all_are(late, "error"), message=lambda: manager.log)
    for task_id in late:
        attempt = Attempt.objects.get(task_id=task_id)
        assert (attempt.outcome, attempt.error_type) == ("failed", TIMED_OUT)
        assert attempt.message == f"The task ran longer than its TIMEOUT_SECONDS ({LIMIT:g})."
        assert "in work" in attempt.traceback
        assert LIMIT <= (attempt.duration_seconds or 0) < MUCH
    assert Ledger.objects.filter(task_id=late[-1], note="tidied").exists()
    book.run(Note())
    assert worker_of(book.ids[-1]) not in map(worker_of, late)


def test_tasks_that_do_not_stop_are_killed_and_nobody_else(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 4})
    (bystander,) = book.begin(WaitForFile(str(gate)))
    late = book.begin(SwallowAndGoOn(), BlockInC(), DeafenAndSleep(60))
    behind = book.enqueue(*[Note()] * 20)
    wait_until(lambda: all_are(late, "error"), message=lambda: manager.log)
    for task_id in late:
        attempt = Attempt.objects.get(task_id=task_id)
        assert (attempt.outcome, attempt.error_type) == ("failed", TIMED_OUT)
        assert f"It did not stop within {GRACE:g} s after that" in attempt.message
        assert LIMIT + GRACE <= (attempt.duration_seconds or 0) < MUCH
    wait_until(lambda: all_are(behind, "finished"), message=lambda: manager.log)
    wait_until(lambda: len(manager.workers()) == 4)
    gate.touch()
    wait_until(lambda: all_are([bystander], "finished"))
    assert_no_other_was_charged(late)
    assert set(Task.objects.filter(pk__in=late).values_list("attempts", flat=True)) == {1}


@pytest.mark.postgresql
def test_a_task_that_waits_for_the_database_ends_with_its_time_or_its_grace(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    (late,) = book.enqueue(SleepInDatabase())
    wait_until(lambda: all_are([late], "error"), message=lambda: manager.log)
    attempt = Attempt.objects.get()
    assert attempt.error_type == TIMED_OUT
    assert LIMIT <= (attempt.duration_seconds or 0) < MUCH
    book.run(Note())
    _end_what_still_sleeps()


def test_a_task_that_timed_out_runs_again_when_its_config_says_so(
    start_manager: StartManager, book: Book
) -> None:
    late = book.enqueue(*[RetryWhenTimedOut(is_stubborn) for is_stubborn in (False, True)])
    manager = start_manager()
    wait_until(lambda: all_are(late, "error"), message=lambda: manager.log)
    for task_id in late:
        attempts = Attempt.objects.filter(task_id=task_id)
        assert list(attempts.values_list("outcome", "error_type")) == [
            ("retried", TIMED_OUT),
            ("failed", TIMED_OUT),
        ]
    assert started(late) == dict.fromkeys(late, 2)


def test_the_limit_counts_from_the_start_of_each_task(
    start_manager: StartManager, book: Book
) -> None:
    # Together they take longer than any of them may.
    ids = book.enqueue(*[SleepLimited(LIMIT / 10)] * 20)
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)


def test_a_limit_ends_with_its_task(start_manager: StartManager, book: Book) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    book.run(DeafenAndSleep(0.0), *[SleepLimited(0.0)] * 20, Sleep(LIMIT + GRACE + 0.5))
    (late,) = book.enqueue(SleepLimited(60))
    wait_until(lambda: all_are([late], "error"), message=lambda: manager.log)
    assert "in work" in Attempt.objects.get().traceback, "the handler is there again"


def test_tasks_behind_one_that_times_out_run_all_the_same(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    book.run(*[SleepLimited(0.0)] * 30)
    ids = book.enqueue(*[SleepLimited(0.0)] * 5, SleepLimited(60), *[SleepLimited(0.0)] * 20)
    late = ids.pop(5)
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    assert all_are([late], "error")
    assert set(Task.objects.values_list("attempts", "rescues")) == {(1, 0)}


def _end_what_still_sleeps() -> None:
    """End the statement of a worker that was killed: its server does not know of that."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%'"
        )
