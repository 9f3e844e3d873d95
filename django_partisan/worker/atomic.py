"""Running a task and recording its end in one transaction: what `ATOMIC = True` asks for."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan import lifecycle
from django_partisan.attempt import RECORDED, ClaimedTask, Outcome
from django_partisan.database import dialect_for
from django_partisan.database.autocommit import autocommit
from django_partisan.exceptions import AtomicityLost, LeaseLost
from django_partisan.execution import task_exc_info
from django_partisan.execution.interims import hearing
from django_partisan.fault_points import reach
from django_partisan.lifecycle.rows import database, task_rows
from django_partisan.lifecycle.transitions import EndedAttempt
from django_partisan.logs import extra_of
from django_partisan.models import Task
from django_partisan.settings import get_process_settings, settings_of
from django_partisan.worker.connections import refusing_other_threads

logger = logging.getLogger(__name__)


def atomically(task: ClaimedTask, attempt: Callable[[], Outcome]) -> Outcome:
    """Make an attempt in a transaction on the tasks' database that also records its end.

    The outcome is RECORDED then. Whatever is raised before the commit rolls everything back and is
    raised: what ``attempt`` raises, AtomicityLost when it has left no transaction to record in, and
    LeaseLost when the task is somebody else's by now.
    """
    alias = database()
    connection = connections[alias]
    committed: list[bool] = []
    outcome: Outcome | None = None
    try:
        with (
            autocommit(connection),
            dialect_for(alias).writing(connection),
            transaction.atomic(alias, durable=True),
        ):
            # The first hook of all: whatever a later one raises, this one has been called.
            connection.on_commit(lambda: committed.append(True))
            outcome = _made_inside(connection, task, attempt)
            _record(task, outcome)
            reach("worker.about_to_commit")
    except Exception as error:
        if outcome is None or not committed:
            raise
        logger.exception(
            "task %d has finished, but what it left to do on commit failed",
            task.id,
            exc_info=task_exc_info(task, error),
            extra=extra_of(task),
        )
    reach("worker.committed")
    return outcome._replace(kind=RECORDED, result=None)


def _made_inside(
    connection: BaseDatabaseWrapper, task: ClaimedTask, attempt: Callable[[], Outcome]
) -> Outcome:
    # A savepoint dies with its transaction: so it tells whether that is still the same.
    savepoint = connection.savepoint() or ""
    session = connection.connection
    with refusing_other_threads(connection.alias, task.processor_class):
        outcome = attempt()
    is_lost = connection.closed_in_transaction or connection.connection is not session
    if is_lost or connection.needs_rollback or not connection.in_atomic_block:
        raise AtomicityLost(task.processor_class)
    try:
        connection.savepoint_commit(savepoint)
    except Error as error:
        if getattr(session, "closed", False):
            raise  # The server or the way to it has failed, not the code.
        raise AtomicityLost(task.processor_class) from error
    return outcome


def _record(task: ClaimedTask, outcome: Outcome) -> None:
    rows = task_rows().filter(pk=task.id, lease=task.lease, status=Task.STATUS_IN_PROCESS)
    # Waits for whoever has locked the row for a moment, which recording itself does not.
    is_ours = bool(rows.select_for_update().values_list("pk"))
    recorded = is_ours and lifecycle.record(
        [EndedAttempt(task=task, outcome=outcome)],
        delete_finished=settings_of(task.queue_name).DELETE_TASKS_ON_COMPLETE,
        max_rescues=get_process_settings().MAX_RESCUES,
        tellers=(task.id,) if hearing.listener.has_heard(task) else (),
    )
    if not recorded:
        raise LeaseLost(
            f"Task {task.id} is not this worker's any more (lease {task.lease} has passed): what "
            "it did was rolled back. It was rescued, cancelled or finished elsewhere."
        )
    if recorded.has_marks:
        lifecycle.tell_dependents_after_commit()
