"""Telling receivers of signals what the verbs have done: after the commit, if anybody listens.

Each function costs a look at a list where nobody does. The others take values at hand; what they
do not know of a task is read when a receiver asks for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.attempt import ClaimedTask
from django_partisan.database.values import Claimed, Recorded
from django_partisan.exceptions import ManagerDied
from django_partisan.lifecycle.instances import changed_instance_of
from django_partisan.lifecycle.notices import Notice, Notices, tell_after_commit, tell_now
from django_partisan.lifecycle.rows import database, task_rows
from django_partisan.lifecycle.transitions import (
    CANCEL,
    EXPIRE,
    FAIL,
    FINISH,
    GIVE_UP,
    POSTPONE,
    RESCUE,
    RESCUE_STARTED,
    RESUME,
    RETRY,
    EndedAttempt,
    Transition,
    report_of,
    transition_for,
    transition_of,
)
from django_partisan.models import Task
from django_partisan.registry.registry import registry
from django_partisan.signals import (
    PartisanSignal,
    task_cancelled,
    task_enqueued,
    task_failed,
    task_finished,
    task_postponed,
    task_rescued,
    task_retried,
    worker_died,
)

ASKED: Final = "its end was asked for"
"""The reason of a cancel without words of its own."""
EXPIRED: Final = "it had not started in time"
_READ_ROWS: Final = 500
"""Rows that one statement reads at most."""
_SIGNAL_OF: Final[dict[Transition, PartisanSignal]] = {
    FINISH: task_finished,
    RETRY: task_retried,
    RESUME: task_retried,
    POSTPONE: task_postponed,
    FAIL: task_failed,
    GIVE_UP: task_failed,
    CANCEL: task_cancelled,
    EXPIRE: task_cancelled,
    RESCUE_STARTED: task_rescued,
    RESCUE: task_rescued,
}
_DEFAULT_REASON_OF: Final = {EXPIRE: EXPIRED}
_OF_OUTCOMES: Final = tuple(dict.fromkeys(_SIGNAL_OF.values()))


# ----- what the verbs tell -----


def tell_enqueued(tasks: Sequence[Task]) -> None:
    """Tell of tasks that were stored; those that are duplicates were not."""
    if task_enqueued.receivers:
        new = [task for task in tasks if not task.was_duplicate]
        tell_after_commit(_of_tasks(task_enqueued, new))


def tell_enqueued_rows(ids: Collection[int]) -> None:
    """Tell of tasks that were stored, of which nothing else is at hand."""
    if task_enqueued.receivers and ids:
        tell_after_commit(_of_rows(task_enqueued, ids))


def tell_finished(
    ended_attempts: Sequence[EndedAttempt],
    recorded: Collection[int],
    connection: BaseDatabaseWrapper | None = None,
) -> None:
    """Tell of the tasks among these that were recorded as finished."""
    if task_finished.receivers:
        statuses = dict.fromkeys(recorded, FINISH.status)
        tell_after_commit(_of_outcomes(ended_attempts, statuses, 0), connection)


def tell_ended(
    ended_attempts: Sequence[EndedAttempt], recorded: Mapping[int, str], max_rescues: int
) -> None:
    """Tell how attempts ended, of those that were recorded with the status that is given."""
    if any(signal.receivers for signal in _OF_OUTCOMES):
        tell_after_commit(_of_outcomes(ended_attempts, recorded, max_rescues))


def tell_cancelled(
    ids: Collection[int], reason: str, connection: BaseDatabaseWrapper | None = None
) -> None:
    """Tell of tasks that were cancelled while they waited."""
    if task_cancelled.receivers and ids:
        tell_after_commit(_of_rows(task_cancelled, ids, reason=reason), connection)


def tell_aside(claimed: Claimed, connection: BaseDatabaseWrapper | None = None) -> None:
    """Tell of the tasks that a claim has met and cancelled, since they had expired."""
    if claimed.aside:
        ids = [aside.id for aside in claimed.aside if aside.status == EXPIRE.status]
        tell_cancelled(ids, EXPIRED, connection)


def tell_taken_over(tasks: Sequence[ClaimedTask]) -> None:
    """Tell of tasks that a manager has made its own after their manager died."""
    if task_rescued.receivers and tasks:
        reason = str(ManagerDied())
        tell_after_commit(_of_claimed(task_rescued, tasks, reason=reason))


def tell_died(task: ClaimedTask | None, pid: int | None, reason: str) -> None:
    """Tell that a worker has died, with the task that it ran, if any."""
    if worker_died.receivers:
        values: dict[str, Any] = {"pid": pid, "reason": reason}
        of_nobody = Notice(worker_died, None, {"task": None, **values})
        notices = iter([of_nobody]) if task is None else _of_claimed(worker_died, [task], **values)
        tell_now(connections[database()], notices)


def that_tells(
    call: Callable[[], tuple[Recorded, Claimed]], ended_attempts: Sequence[EndedAttempt]
) -> Callable[[], tuple[Recorded, Claimed]]:
    """Return a call that records and claims, and tells of it where somebody listens.

    It may be made in another thread: it tells what happened on this thread's connection.
    """
    if not (task_finished.receivers or task_cancelled.receivers):
        return call
    connection = connections[database()]

    def told() -> tuple[Recorded, Claimed]:
        recorded, claimed = call()
        tell_finished(ended_attempts, recorded, connection)
        tell_aside(claimed, connection)
        return recorded, claimed

    return told


# ----- what is sent -----


def _of_outcomes(
    ended_attempts: Sequence[EndedAttempt], recorded: Mapping[int, str], max_rescues: int
) -> Notices:
    for ended in ended_attempts:
        status = recorded.get(ended.task.id)
        if status is not None:
            added = transition_for(ended, max_rescues).added
            yield from _of_outcome(ended, transition_of(ended, max_rescues), status, added)


def _of_outcome(
    ended: EndedAttempt, transition: Transition, status: str, added: Mapping[str, int]
) -> Notices:
    task = ended.task
    columns = {name: getattr(task, name) + n for name, n in added.items()}
    signal, values = _meant_by(ended, transition, status)
    if signal is not None:
        columns |= {"status": status, **_result_of(ended, transition)}
        yield from _of_claimed(signal, [task], columns, **values)


def _meant_by(
    ended: EndedAttempt, transition: Transition, status: str
) -> tuple[PartisanSignal | None, dict[str, Any]]:
    """Return the signal of an outcome, and what it tells beside the task."""
    if status != transition.status:
        return task_cancelled, {"reason": ASKED}  # What was to wait again does not.
    signal = _SIGNAL_OF.get(transition)
    report = report_of(ended, transition)
    if signal in (task_failed, task_retried):
        return signal, {"error": report}
    if signal in (task_cancelled, task_rescued):
        return signal, {"reason": report.message or _DEFAULT_REASON_OF.get(transition, ASKED)}
    return signal, {}


def _result_of(ended: EndedAttempt, transition: Transition) -> dict[str, Any]:
    if transition is not FINISH:
        return {}
    return {"result": json.loads(ended.outcome.result or "null")}


def _of_claimed(
    signal: PartisanSignal,
    tasks: Sequence[ClaimedTask],
    columns: Mapping[str, Any] = MappingProxyType({}),
    **values: Any,
) -> Notices:
    for task in tasks:
        sender = _sender_of(task.processor_class)
        if signal.has_listeners(sender):
            yield Notice(signal, sender, {"task": changed_instance_of(task, columns), **values})


def _of_rows(signal: PartisanSignal, ids: Collection[int], **values: Any) -> Notices:
    ordered = sorted(ids)
    for start in range(0, len(ordered), _READ_ROWS):
        rows = task_rows().filter(pk__in=ordered[start : start + _READ_ROWS]).order_by("pk")
        yield from _of_tasks(signal, rows, **values)


def _of_tasks(signal: PartisanSignal, tasks: Any, **values: Any) -> Notices:
    for task in tasks:
        sender = _sender_of(task.processor_class)
        if signal.has_listeners(sender):
            yield Notice(signal, sender, {"task": task, **values})


def _sender_of(name: str) -> type[Any] | None:
    if not registry.is_processor_registered(name):
        return None
    found: type[Any] = registry.get_processor_class_by_name(name)
    return found
