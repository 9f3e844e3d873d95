"""Recording how attempts ended, each under the lease of its claim."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

from django.db import Error, connections, transaction

from django_partisan.attempt import EXPIRED, FINISHED, ErrorReport
from django_partisan.database import dialect_for
from django_partisan.database.values import Claimed, Cursor, Recorded, TaskUpdate
from django_partisan.exceptions import TaskExpired
from django_partisan.fault_points import reach
from django_partisan.lifecycle.interims import forget_checkpoints
from django_partisan.lifecycle.outputs import delete_outputs
from django_partisan.lifecycle.related import others_point_at_tasks
from django_partisan.lifecycle.repeats import follow, is_link, tell_of_ends
from django_partisan.lifecycle.rows import attempt_rows, database, progress_rows, task_rows
from django_partisan.lifecycle.telling import tell_ended, tell_finished, that_tells
from django_partisan.lifecycle.transitions import (
    CANCEL,
    GIVE_UP,
    RESCUE_STARTED,
    RETRY,
    EndedAttempt,
    Transition,
    report_of,
    transition_of,
    updates_of,
)
from django_partisan.lifecycle.uniqueness import regain_uniqueness
from django_partisan.logs import extra_of, short_error
from django_partisan.models import Attempt, Task

logger = logging.getLogger(__name__)
_CRASHES: Final = {
    GIVE_UP: (logging.ERROR, "task %d failed: %s"),
    RESCUE_STARTED: (logging.WARNING, "task %d goes back to its queue: %s"),
}


def record(
    ended_attempts: Sequence[EndedAttempt],
    *,
    delete_finished: bool,
    max_rescues: int,
    tellers: Collection[int] = (),
) -> Recorded:
    """Record outcomes under their leases; return the ids of the tasks that were still ours.

    Where these say so, the caller has the dependents of the tasks told, after the commit.

    Each attempt worth telling leaves an Attempt row in the same transaction. Recording the same
    outcome twice changes nothing the second time.

    With ``delete_finished``, finished tasks are deleted instead. Where other models point at tasks
    they are recorded, and left to :func:`delete_completed`.

    ``tellers`` are those that are known to have told of themselves in this attempt. The checkpoints
    of the finished ones among them are forgotten, and nothing is left of those that are deleted.
    """
    finished = [ended for ended in ended_attempts if ended.outcome.kind == FINISHED]
    others = [ended for ended in ended_attempts if ended.outcome.kind != FINISHED]
    recorded = Recorded()
    if finished:
        recorded = _record_finished(finished, delete_finished, tellers)
    tell_finished(finished, recorded)
    return recorded.joined(record_others(others, max_rescues)) if others else recorded


def record_and_claim(
    ended_attempts: Sequence[EndedAttempt],
    queue_name: str,
    limit: int,
    manager_id: int,
    cursors: Sequence[Cursor],
) -> Callable[[], tuple[Recorded, Claimed]]:
    """Return a call that records finished tasks and claims the next ones, in one round trip.

    The call may be made in another thread while nothing else uses the connection. All outcomes must
    be FINISHED, and DELETE_TASKS_ON_COMPLETE be off.
    """
    alias = database()
    call = partial(
        dialect_for(alias).record_and_claim,
        connections[alias],
        updates_of(ended_attempts),
        queue_name,
        cursors,
        limit,
        manager_id,
    )
    return that_tells(call, ended_attempts)


def still_held(ended_attempts: Sequence[EndedAttempt]) -> set[int]:
    """Return the ids among these whose lease still holds, so that recording can be tried again."""
    leases = {ended.task.id: ended.task.lease for ended in ended_attempts}
    rows = (
        task_rows().filter(pk__in=leases, status=Task.STATUS_IN_PROCESS).values_list("pk", "lease")
    )
    return {pk for pk, lease in rows if leases[pk] == lease}


def _record_finished(
    ended_attempts: Sequence[EndedAttempt], delete: bool, tellers: Collection[int]
) -> Recorded:
    if not delete or others_point_at_tasks():
        return _finish(ended_attempts, tellers)
    alias = database()
    try:
        with transaction.atomic(using=alias):
            return _delete(ended_attempts, tellers)
    except Error as error:
        # A constraint that Django knows nothing of speaks against the deletion, not the outcome.
        if len(ended_attempts) > 1 or not dialect_for(alias).is_refusal(error):
            raise
        return _finish(ended_attempts, tellers)


def _finish(ended_attempts: Sequence[EndedAttempt], tellers: Collection[int]) -> Recorded:
    alias = database()
    updates = updates_of(ended_attempts)
    links = {ended.task.id for ended in ended_attempts if is_link(ended)}
    savers = tellers and {update.id for update in updates if update.id in tellers}
    if not links and not savers:
        return _recorded(updates)
    with transaction.atomic(using=alias):
        recorded = _recorded(updates)
        if links:
            reach("manager.recorded_without_followers")
            follow(recorded & links)
        if savers:
            reach("manager.recorded_with_checkpoints")
            forget_checkpoints(recorded.intersection(savers))
    return recorded


def _recorded(updates: Sequence[TaskUpdate]) -> Recorded:
    alias = database()
    rows = dialect_for(alias).record(connections[alias], updates)
    return Recorded(rows.statuses, has_marks=rows.has_marks)


def _delete(ended_attempts: Sequence[EndedAttempt], tellers: Collection[int]) -> Recorded:
    """Delete instead of recording; a link is recorded first, since its follower is made of it.

    What keeps duplicates out for some time is recorded only, and left to :class:`Pruning`.
    """
    alias = database()
    dialect, connection = dialect_for(alias), connections[alias]
    updates = updates_of([ended for ended in ended_attempts if not is_link(ended)])
    links = [ended for ended in ended_attempts if is_link(ended)]
    deleted = dialect.delete_recorded(connection, updates) if updates else set()
    left = [update for update in updates if update.id not in deleted]
    kept = _recorded(left) if left else Recorded()
    if links:
        finished = _finish(links, tellers)
        kept.has_marks |= finished.has_marks
        task_rows().filter(pk__in=finished).only("pk").delete()
        deleted |= finished
    # What a task has told in an attempt before this one, nobody here knows.
    have_told = [e.task.id for e in ended_attempts if e.task.lease > 1 or e.task.id in tellers]
    if have_told:
        progress_rows().filter(pk__in=deleted.intersection(have_told)).delete()
    told = [e.task.id for e in ended_attempts if e.task.attempts > 1 or e.task.rescues]
    if told:
        attempt_rows().filter(task_id__in=deleted.intersection(told)).delete()
    again = [e.task.id for e in ended_attempts if e.task.lease > 1]
    if again:  # What this try has printed was not stored.
        delete_outputs(deleted.intersection(again))
    return Recorded(deleted, has_marks=False).joined(kept)


def record_others(ended_attempts: Sequence[EndedAttempt], max_rescues: int) -> Recorded:
    """Record outcomes that may leave Attempt rows, with these, in one transaction."""
    alias = database()
    updates = updates_of(ended_attempts, max_rescues)
    with transaction.atomic(using=alias):
        recorded, has_marks = dialect_for(alias).record(connections[alias], updates)
        reach("manager.recorded_without_attempts")
        told = [
            (ended, CANCEL if recorded[ended.task.id] == CANCEL.status else transition)
            for ended in ended_attempts
            if ended.task.id in recorded
            and (transition := transition_of(ended, max_rescues)).attempt_outcome
        ]
        rows = [attempt_of(*each) for each in told]
        _say_when_expired(told, rows)
        attempt_rows().bulk_create(rows)
        for log in (partial(_log_crashes, told), partial(tell_of_ends, ended_attempts, recorded)):
            transaction.on_commit(log, using=alias, robust=True)
    regain_uniqueness([pk for pk, status in recorded.items() if status == RETRY.status])
    tell_ended(ended_attempts, recorded, max_rescues)
    return Recorded(recorded, has_marks=has_marks)


def _say_when_expired(
    told: Sequence[tuple[EndedAttempt, Transition]], rows: Sequence[Attempt]
) -> None:
    """Write into the attempts of expired tasks when that was: the claim only told how soon."""
    expired = {e.task.id for e, _ in told if e.outcome.kind == EXPIRED}
    if not expired:
        return
    moments = dict(task_rows().filter(pk__in=expired).values_list("pk", "expires_at"))
    for row in rows:
        if row.task_id in expired:
            error = TaskExpired(moments[row.task_id])
            row.error_type, row.message = type(error).__name__, str(error)


def _log_crashes(told: Sequence[tuple[EndedAttempt, Transition]]) -> None:
    """Log the ends that no worker has lived to log."""
    for ended, transition in told:
        level, text = _CRASHES.get(transition, (logging.NOTSET, ""))
        if level:
            task, row = ended.task, attempt_of(ended, transition)
            error = short_error(ErrorReport(row.error_type, row.message, ""))
            logger.log(level, text, task.id, error, extra=extra_of(task))


def attempt_of(ended: EndedAttempt, transition: Transition) -> Attempt:
    """Return the unsaved row that tells of an attempt, with the outcome of its transition."""
    task, outcome, error = ended.task, ended.outcome, report_of(ended, transition)
    return Attempt(
        task_id=task.id,
        number=task.attempts,
        lease=task.lease,
        outcome=transition.attempt_outcome,
        error_type=error.type,
        message=error.message,
        traceback=error.traceback,
        duration_seconds=None if outcome.started is None else outcome.ended - outcome.started,
        worker_pid=ended.worker_pid,
        node_name=ended.node_name,
    )
