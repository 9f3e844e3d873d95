"""What an ATOMIC task does and the record of its end are one: both are there, or neither."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import override_settings

from django_partisan import execution, lifecycle, registry
from django_partisan.attempt import CRASHED, FAILED, ORPHANED, RECORDED, ClaimedTask, Outcome
from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.exceptions import CancelTask, PostponeTask
from django_partisan.lifecycle import request_cancel
from django_partisan.models import Task
from django_partisan.processor import BaseTaskProcessor
from django_partisan.worker.atomic import atomically
from tests.app.models import Ledger
from tests.support.factories import (
    OWNER,
    at_once,
    claim,
    locked_by_a_stranger,
    record,
    row_of,
    statuses,
)
from tests.support.factories import ended_attempt as ended_of

pytestmark = pytest.mark.django_db(transaction=True)

EXCEPTIONS = "django_partisan.exceptions"
AFTER: list[Callable[[], Any]] = []


@registry.register
class Booking(BaseTaskProcessor):
    """Writes a line, and then does what the test wants done."""

    ATOMIC = True
    UNIQUE_FOR_PARAMS = False
    RETRY_ON_ERROR_CONFIG: ClassVar[ErrorsHandleConfig | None] = ErrorsHandleConfig(
        retry_on_errors=(ValueError,), retries_count=1, retry_pause=0
    )

    def run(self) -> Any:
        Ledger.objects.create(task_id=1, note="booked")
        return AFTER[0]()


class Host(execution.PlainHost):
    """A worker's way to run an ATOMIC task, without the worker."""

    def atomically(self, task: ClaimedTask, attempt: Callable[[], Outcome]) -> Outcome:
        return atomically(task, attempt)


def run(after: Callable[[], Any]) -> tuple[ClaimedTask, Outcome]:
    """Enqueue, claim and run a task as a worker does."""
    Booking().delay()
    [task] = claim()
    AFTER[:] = [after]
    return task, execution.execute(task, Host())


def booked() -> int:
    return Ledger.objects.filter(note="booked").count()


def error_type(outcome: Outcome) -> str:
    assert outcome.error is not None
    return outcome.error.type


def _raise(error: BaseException) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


def test_effects_and_end_are_there_together() -> None:
    task, outcome = run(lambda: {"total": 7})
    assert outcome.kind == RECORDED
    row = row_of(task)
    assert (row.status, row.result, row.manager_id) == ("finished", {"total": 7}, None)
    assert row.started_at is not None
    assert row.finished_at is not None
    assert booked() == 1


@override_settings(PARTISAN_CONFIG={"default": {"DELETE_TASKS_ON_COMPLETE": True}})
def test_a_task_that_is_not_kept_is_deleted_with_its_effects_committed() -> None:
    run(lambda: None)
    assert not Task.objects.exists()
    assert booked() == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("no"), "failed"),
        (ValueError("again"), "retried"),
        (PostponeTask(5), "postponed"),
        (CancelTask("void"), "cancelled"),
        (SystemExit(1), "failed"),
    ],
)
def test_what_does_not_finish_leaves_no_effects(error: BaseException, kind: str) -> None:
    task, outcome = run(_raise(error))
    assert outcome.kind == kind
    assert booked() == 0
    assert row_of(task).status == "in_process", "the manager records it"


def test_who_has_lost_the_task_leaves_no_effects() -> None:
    task, outcome = run(lambda: Task.objects.update(lease=9) and None)
    assert error_type(outcome) == f"{EXCEPTIONS}.LeaseLost"
    assert booked() == 0
    # The change of the lease was part of the transaction, so it is undone too.
    assert row_of(task).lease == task.lease


@pytest.mark.postgresql
def test_a_rescue_while_the_task_runs_wins_and_its_effects_are_undone() -> None:
    def be_rescued() -> None:
        at_once(lambda: record(ended_of(claimed[0], ORPHANED)))

    Booking().delay()
    claimed = claim()
    AFTER[:] = [be_rescued]
    outcome = execution.execute(claimed[0], Host())
    assert error_type(outcome) == f"{EXCEPTIONS}.LeaseLost"
    assert booked() == 0
    assert statuses() == ["new"]
    assert record(ended_of(claimed[0], FAILED)) == set()


@pytest.mark.postgresql
def test_a_stranger_who_has_locked_the_row_for_a_moment_is_waited_for() -> None:
    def lock_for_a_moment() -> None:
        lock = contextlib.ExitStack()
        lock.enter_context(locked_by_a_stranger(Task.objects.get().pk))
        threading.Timer(0.2, lock.close).start()

    task, outcome = run(lock_for_a_moment)
    assert outcome.kind == RECORDED
    assert row_of(task).status == "finished"
    assert booked() == 1


def _commit() -> None:
    with connection.cursor() as cursor:
        cursor.execute("COMMIT")


def _roll_back() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ROLLBACK")


def _swallow() -> None:
    with contextlib.suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")


def _reopen() -> None:
    connection.connection.close()
    connection.connection = None
    connection.connect()


@pytest.mark.parametrize(
    ("after", "kept"),
    [
        (_commit, 1),
        (_roll_back, 0),
        (connection.close, 0),
        (_reopen, 0),
        (lambda: transaction.set_rollback(True), 0),
    ],
    ids=["COMMIT", "ROLLBACK", "close", "reopen", "set_rollback"],
)
def test_a_task_that_ends_its_transaction_itself_is_told_so(
    after: Callable[[], None], kept: int
) -> None:
    task, outcome = run(after)
    assert outcome.kind == FAILED
    assert error_type(outcome) == f"{EXCEPTIONS}.AtomicityLost"
    connection.close()
    assert row_of(task).status == "in_process"
    assert booked() == kept, "only what the code has committed itself"


@pytest.mark.postgresql
def test_a_task_that_goes_on_after_an_error_of_the_database_is_told_so() -> None:
    task, outcome = run(_swallow)
    assert error_type(outcome) == f"{EXCEPTIONS}.AtomicityLost"
    assert booked() == 0
    assert row_of(task).status == "in_process"


def test_an_error_inside_a_block_of_its_own_can_be_survived() -> None:
    def survive() -> None:
        with contextlib.suppress(DatabaseError), transaction.atomic():
            Ledger.objects.create(task_id=1, note="undone")
            Ledger.objects.create(id=Ledger.objects.latest("pk").pk, task_id=2)

    task, _ = run(survive)
    assert row_of(task).status == "finished"
    assert list(Ledger.objects.values_list("note", flat=True)) == ["booked"]


def test_what_is_left_to_do_on_commit_is_done_after_it() -> None:
    seen: list[str] = []

    def see() -> None:
        seen.extend(statuses())

    run(lambda: transaction.on_commit(see))
    assert seen == ["finished"]


def test_a_failure_on_commit_does_not_unmake_the_end(caplog: pytest.LogCaptureFixture) -> None:
    task, outcome = run(lambda: transaction.on_commit(_raise(RuntimeError("too late"))))
    assert outcome.kind == RECORDED
    assert row_of(task).status == "finished"
    assert booked() == 1
    assert "what it left to do on commit failed" in caplog.text


def test_a_new_task_is_enqueued_with_the_effects_or_not_at_all() -> None:
    run(lambda: Booking().delay().priority)
    assert statuses() == ["finished", "new"]
    Task.objects.all().delete()
    run(lambda: Booking().delay().priority / 0)
    assert Task.objects.count() == 1


def test_a_task_that_finished_although_its_end_was_asked_for_has_finished() -> None:
    task, _ = run(lambda: list(request_cancel([Task.objects.get().pk])))
    assert row_of(task).status == "finished"


def test_a_crash_that_is_told_after_the_commit_changes_nothing() -> None:
    task, _ = run(lambda: None)
    assert record(ended_of(task, CRASHED)) == set()
    assert lifecycle.still_held([ended_of(task, CRASHED)]) == set()
    assert (row_of(task).status, row_of(task).lease) == ("finished", task.lease)


def test_without_a_worker_nothing_is_recorded_by_itself() -> None:
    Booking().delay()
    AFTER[:] = [lambda: 5]
    [task] = Task.objects.select_for_process(1)
    assert task.run() == 5
    assert row_of(task).status == "in_process"
    assert task.manager_id not in (None, OWNER)
