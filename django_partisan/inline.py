"""Claiming, running and recording tasks in the caller's own process, as 1.6.1 offered on Task."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.db import Error, connections
from django.db.models.functions import Now

from django_partisan import execution, lifecycle
from django_partisan.attempt import (
    CANCELLED,
    FAILED,
    FINISHED,
    POSTPONED,
    RETRIED,
    ClaimedTask,
    ErrorReport,
    Outcome,
)
from django_partisan.config.const import DEFAULT_QUEUE_NAME
from django_partisan.exceptions import LeaseLost, TaskNotInProcess
from django_partisan.identity import Identity, own_identity
from django_partisan.lifecycle import managers
from django_partisan.lifecycle.instances import claimed_of
from django_partisan.lifecycle.related import others_point_at_tasks
from django_partisan.lifecycle.rows import database, manager_rows, task_rows
from django_partisan.lifecycle.transitions import EndedAttempt
from django_partisan.models import Task
from django_partisan.settings import get_process_settings, get_queue_settings, settings_of
from django_partisan.signals import task_started

logger = logging.getLogger(__name__)
OWNER_SECONDS: Final = 3600
"""An inline owner has no heartbeat: it counts as alive for so long after each of its calls."""
_ALL: Final = 1_000_000
_ENDED_BY_RUN: Final = "_ended_by_run"
_owner: dict[Identity, int] = {}


def claim(count: int | None, queue_name: str = DEFAULT_QUEUE_NAME) -> list[Task]:
    """Claim up to ``count`` due tasks for this process, None for all, and return their rows.

    Raises UnknownQueue. The process counts as their owner for an hour after its last call; then,
    or once a manager on the same host sees that it has ended, they run again.
    """
    get_queue_settings(queue_name)
    limit = _ALL if count is None else count
    claimed = lifecycle.claim(queue_name, limit, _owner_id()) if limit > 0 else []
    rows = task_rows().in_bulk([task.id for task in claimed])
    return [rows[task.id] for task in claimed]


def run(task: Task) -> Any:
    """Run a task's processor; record what gives it back or cancels it, raise any other error."""
    started = time.monotonic()
    claimed = claimed_of(task)
    processor = task.get_initialized_processor()
    if task_started.receivers:
        task_started.deliver(type(processor), task=task)
    try:
        return execution.run_here(processor)
    except BaseException as error:
        outcome = execution.judge(claimed, processor, error, started, processor.retry_delay)
        if outcome.kind not in (RETRIED, POSTPONED, CANCELLED):
            raise
        _record(task, claimed, outcome)
        # For complete(), which is called after this as after any other end.
        vars(task)[_ENDED_BY_RUN] = claimed.lease
        return None


def complete(task: Task) -> None:
    """Record that a task finished; what :func:`run` gave back or cancelled stays as it is."""
    if vars(task).get(_ENDED_BY_RUN) == task.lease and task.status != Task.STATUS_IN_PROCESS:
        return
    _check_in_process(task)
    now = time.monotonic()
    claimed = claimed_of(task)
    _record(task, claimed, Outcome(claimed.id, claimed.lease, FINISHED, None, now))


def fail(task: Task, error: BaseException) -> None:
    """Record an error as a task's end."""
    _check_in_process(task)
    claimed = claimed_of(task)
    report: ErrorReport = execution.report(error, claimed)
    outcome = Outcome(claimed.id, claimed.lease, FAILED, None, time.monotonic(), error=report)
    _record(task, claimed, outcome)


def cancel(task: Task) -> bool:
    """Cancel a task and refresh the instance; False when it had ended before."""
    is_taken = any(lifecycle.request_cancel([task.pk]))
    fresh = task_rows().filter(pk=task.pk)
    for values in fresh.values("status", "finished_at", "cancel_requested_at", "unique_key"):
        vars(task).update(values)
    return is_taken


def follow_log(task: Task) -> Iterator[str]:
    """Yield what a task prints, as it comes, until it has ended."""
    return lifecycle.follow_output(task.pk)


def rescue_orphans() -> int:
    """Give every orphan back to its queue; return how many."""
    settings = get_process_settings()
    count = 0
    while moved := lifecycle.rescue(
        managers.orphans(settings.DEAD_AFTER_SECONDS),
        limit=500,
        max_rescues=settings.MAX_RESCUES,
        reason="reset_tasks_to_initial_status() was called and nobody held the task.",
    ):
        count += len(moved)
    return count


def _check_in_process(task: Task) -> None:
    if task.status != Task.STATUS_IN_PROCESS:
        raise TaskNotInProcess(task.pk, str(task.status))


def _record(task: Task, claimed: ClaimedTask, outcome: Outcome) -> None:
    _owner_id()
    is_deleted = settings_of(task.queue_name).DELETE_TASKS_ON_COMPLETE
    recorded = lifecycle.record(
        [EndedAttempt(task=claimed, outcome=outcome, node_name=own_identity().node_name)],
        delete_finished=is_deleted,
        max_rescues=get_process_settings().MAX_RESCUES,
        tellers=(claimed.id,) if task.has_told else (),
    )
    if not recorded:
        raise LeaseLost(
            f"Task {task.pk} is not this process's any more (lease {claimed.lease} has passed): "
            "nothing was recorded. It was rescued, cancelled or finished elsewhere."
        )
    if recorded.has_marks:
        lifecycle.tell_dependents_after_commit()
    if is_deleted and outcome.kind == FINISHED and others_point_at_tasks():
        _delete_after_commit(claimed.id)
    fresh = task_rows().filter(pk=task.pk).first()
    if fresh is not None:
        task.__dict__.update({k: v for k, v in vars(fresh).items() if k != "_state"})


def _delete_after_commit(pk: int) -> None:
    """Delete a finished task; what refuses that changes nothing of its outcome."""
    connection = connections[database()]
    if connection.in_atomic_block and connection.settings_dict["AUTOCOMMIT"]:
        # A constraint may be checked with the commit, which holds the outcome as well.
        connection.on_commit(partial(lifecycle.delete_completed, [pk]), robust=True)
        return
    try:
        lifecycle.delete_completed([pk])
    except Error as error:
        logger.warning("task %d has finished, but could not be deleted: %s", pk, error)


def _owner_id() -> int:
    """Return the id of this process's row as an owner, with its time prolonged."""
    identity = own_identity()
    rows = manager_rows()
    until = Now() + timedelta(seconds=OWNER_SECONDS)
    known = _owner.get(identity)
    if known is not None and rows.filter(pk=known).update(last_seen=until):
        return known
    row = rows.create(
        node_name=identity.node_name,
        pid=identity.pid,
        boot_id=identity.boot_id,
        process_started=identity.process_started,
        version="inline",
        last_seen=until,
    )
    _owner[identity] = row.pk
    return row.pk
