"""Claiming due tasks, and surveying where they wait."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connections
from django.db.models.functions import Now

from django_partisan.attempt import ClaimedTask
from django_partisan.database import dialect_for
from django_partisan.database.values import Claimed, Cursor, Survey
from django_partisan.lifecycle.rows import database, task_rows
from django_partisan.lifecycle.telling import tell_aside
from django_partisan.models import Task


def claim(
    queue_name: str, limit: int, manager_id: int, cursors: Sequence[Cursor] | None = None
) -> Claimed:
    """Take up to ``limit`` due tasks of a queue for a manager, in the order they should run.

    ``cursors`` are the places to look at, in the order of their priority; without them, a survey
    finds them first. What must not start is moved aside and counts against the limit: tasks of a
    paused processor are held, expired ones cancelled. Of a paused queue nothing is taken.
    """
    alias = database()
    if cursors is None:
        found = survey([queue_name])[queue_name]
        cursors = [surveyed.cursor for surveyed in found if surveyed.has_due]
    claimed = dialect_for(alias).claim(connections[alias], queue_name, cursors, limit, manager_id)
    tell_aside(claimed)
    return claimed


def survey(queue_names: Sequence[str]) -> Survey:
    """Return where the tasks of each queue wait: its priorities in order, a hundred at most.

    There should be no more than MAX_SURVEYED_QUEUES of them.
    """
    alias = database()
    return dialect_for(alias).survey(connections[alias], queue_names)


def queue_names() -> list[str]:
    """Return the names of all queues in which a task waits, also one that is not due yet."""
    alias = database()
    return dialect_for(alias).queue_names(connections[alias])


def mark_started(tasks: Sequence[ClaimedTask]) -> set[int]:
    """Write ``started_at`` of tasks about to run; return the ids whose lease still holds."""
    queryset = task_rows()
    return {
        task.id
        for task in tasks
        if queryset.filter(pk=task.id, lease=task.lease, status=Task.STATUS_IN_PROCESS).update(
            started_at=Now(), updated_at=Now()
        )
    }
