"""Rescue: orphans go back to their queue, or to a successor of their manager."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F, Q, TextField
from django.db.models.functions import Cast, Now

from django_partisan.attempt import ClaimedTask
from django_partisan.database.values import Recorded
from django_partisan.fault_points import reach
from django_partisan.lifecycle.dependencies import tell_dependents_after_commit
from django_partisan.lifecycle.instances import CLAIMED_COLUMNS
from django_partisan.lifecycle.notifications import announce
from django_partisan.lifecycle.pauses import is_paused
from django_partisan.lifecycle.record import record_others
from django_partisan.lifecycle.rows import database, task_rows
from django_partisan.lifecycle.telling import tell_taken_over
from django_partisan.lifecycle.transitions import (
    TAKE_OVER,
    TAKE_OVER_STARTED,
    Transition,
    ended_orphan,
)
from django_partisan.models import Task

_LEFT: Final = ExpressionWrapper(F("expires_at") - Now(), output_field=DurationField())


def lost_claims(manager_id: int | None, known: set[int]) -> list[ClaimedTask]:
    """Return the tasks that a manager holds in the database without knowing of it."""
    with transaction.atomic(using=database()):
        held = _locked_orphans(Q(manager_id=manager_id), 10_000)
    return [task for task, _ in held if task.id not in known]


def rescue(owners: Q, *, limit: int, max_rescues: int, reason: str) -> list[int]:
    """Give orphans back to their queue, or to error past the cap; return the ids moved.

    ``owners`` says, as a condition on tasks, who does not live; it is evaluated by the statement
    that locks the rows, so a task that was claimed anew in the meantime is left alone.
    """
    with transaction.atomic(using=database()):
        orphans = _locked_orphans(owners, limit)
        ended_attempts = [ended_orphan(task, has_started, reason) for task, has_started in orphans]
        recorded = record_others(ended_attempts, max_rescues) if ended_attempts else Recorded()
    if recorded.has_marks:
        tell_dependents_after_commit()
    for queue_name in {task.queue_name for task, _ in orphans}:
        announce(database(), queue_name)
    return sorted(recorded)


def take_over(
    owners: Q, manager_id: int, *, queues: Q, limit: int, max_rescues: int
) -> list[ClaimedTask]:
    """Make the orphans of one's own dead predecessor one's own, and return them in order.

    ``queues`` is the condition on tasks of the queues that one serves.

    Counts as a rescue, so each of them runs alone; those past the cap go to error instead. Orphans
    whose end was asked for are left to :func:`rescue`, which cancels them, and so are those of what
    is paused, which wait again then.
    """
    wanted = owners & queues & Q(cancel_requested_at__isnull=True) & ~is_paused()
    with transaction.atomic(using=database()):
        orphans = _locked_orphans(wanted, limit)
        reach("manager.locked_orphans")
        started = [task for task, has_started in orphans if has_started]
        hopeless = [task for task in started if task.crashes >= max_rescues]
        if hopeless:
            record_others([ended_orphan(task, True) for task in hopeless], max_rescues)
        charged = [task for task in started if task not in hopeless]
        free = [task for task, has_started in orphans if not has_started]
        adopted = _adopt(charged, TAKE_OVER_STARTED, manager_id)
        adopted += _adopt(free, TAKE_OVER, manager_id)
    tell_taken_over(adopted)
    return sorted(adopted, key=lambda task: task.due)


def _locked_orphans(owners: Q, limit: int) -> list[tuple[ClaimedTask, bool]]:
    """Return orphans in the order they should run, each with whether it has certainly started."""
    rows = (
        task_rows()
        .filter(owners, status=Task.STATUS_IN_PROCESS)
        .order_by("priority", "execute_after", "pk")
        .select_for_update(skip_locked=True)
        .values(*CLAIMED_COLUMNS, "started_at", text=Cast("arguments", TextField()), left=_LEFT)[
            :limit
        ]
    )
    return [(_claimed(row, place), row["started_at"] is not None) for place, row in enumerate(rows)]


def _claimed(row: dict[str, Any], place: int) -> ClaimedTask:
    columns = {name: row[name] for name in CLAIMED_COLUMNS}
    left = row["left"]
    starts_by = None if left is None else time.monotonic() + left.total_seconds()
    return ClaimedTask(**columns, arguments=row["text"], due=float(place), starts_by=starts_by)


def _adopt(
    tasks: Sequence[ClaimedTask], transition: Transition, manager_id: int
) -> list[ClaimedTask]:
    """Make locked orphans a manager's own; return them as they are then."""
    added = transition.added
    task_rows().filter(pk__in=[task.id for task in tasks]).update(
        **{name: F(name) + count for name, count in added.items()},
        manager_id=manager_id,
        claimed_at=Now(),
        started_at=None,
        updated_at=Now(),
    )
    return [
        task._replace(**{name: getattr(task, name) + count for name, count in added.items()})
        for task in tasks
    ]
