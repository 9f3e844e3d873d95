"""Rescue: orphans go back to their queue, or to a successor of their manager."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models import F, Q, TextField
from django.db.models.functions import Cast, Now

from django_partisan.attempt import ClaimedTask
from django_partisan.fault_points import reach
from django_partisan.lifecycle.notifications import announce
from django_partisan.lifecycle.record import record_others
from django_partisan.lifecycle.rows import database, task_rows
from django_partisan.lifecycle.transitions import (
    ended_orphan,
)
from django_partisan.models import Task


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
        recorded = record_others(ended_attempts, max_rescues) if ended_attempts else set()
    for queue_name in {task.queue_name for task, _ in orphans}:
        announce(database(), queue_name)
    return sorted(recorded)


def take_over(
    owners: Q, manager_id: int, *, queue_name: str, limit: int, max_rescues: int
) -> list[ClaimedTask]:
    """Make the orphans of one's own dead predecessor one's own, and return them in order.

    Counts as a rescue, so each of them runs alone; those past the cap go to error instead. Orphans
    whose end was asked for are left to :func:`rescue`, which cancels them.
    """
    wanted = owners & Q(queue_name=queue_name, cancel_requested_at__isnull=True)
    with transaction.atomic(using=database()):
        orphans = _locked_orphans(wanted, limit)
        reach("manager.locked_orphans")
        spent = [task for task, has_started in orphans if has_started]
        hopeless = [task for task in spent if task.crashes >= max_rescues]
        if hopeless:
            record_others([ended_orphan(task, True, "") for task in hopeless], max_rescues)
        crashed = {task.id for task in spent} - {task.id for task in hopeless}
        held = [task for task, _ in orphans if task not in hopeless]
        _adopt(held, crashed, manager_id)
    return [_adopted(task, task.id in crashed) for task in held]


def _locked_orphans(owners: Q, limit: int) -> list[tuple[ClaimedTask, bool]]:
    columns = [*ClaimedTask._fields[:3], "arguments_text", "queue_name", "priority"]
    counters = ["attempts", "retries", "postpones", "rescues", "crashes"]
    rows = (
        task_rows()
        .filter(owners, status=Task.STATUS_IN_PROCESS)
        .annotate(arguments_text=Cast("arguments", TextField()))
        .order_by("priority", "execute_after", "pk")
        .select_for_update(skip_locked=True)
        .values_list(*columns, *counters, "started_at")[:limit]
    )
    return [
        (ClaimedTask._make([*row[:6], float(place), *row[6:-1]]), row[-1] is not None)
        for place, row in enumerate(rows)
    ]


def _adopt(tasks: Sequence[ClaimedTask], crashed: set[int], manager_id: int) -> None:
    queryset = task_rows()
    queryset.filter(pk__in=crashed).update(crashes=F("crashes") + 1, attempts=F("attempts") + 1)
    queryset.filter(pk__in=[task.id for task in tasks]).update(
        lease=F("lease") + 1,
        manager_id=manager_id,
        rescues=F("rescues") + 1,
        claimed_at=Now(),
        started_at=None,
        updated_at=Now(),
    )


def _adopted(task: ClaimedTask, has_crashed: bool) -> ClaimedTask:
    return task._replace(
        lease=task.lease + 1,
        rescues=task.rescues + 1,
        crashes=task.crashes + has_crashed,
        attempts=task.attempts + has_crashed,
    )
