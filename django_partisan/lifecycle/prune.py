"""Deleting tasks: those past their retention, and those that a person has chosen."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from django.db import connections, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from django_partisan.database.conditions import is_terminal
from django_partisan.lifecycle.rows import attempt_rows, database, task_rows
from django_partisan.models import Task
from django_partisan.settings import QueueSettings

PRUNE_BATCH: Final = 500
"""Tasks that one statement of :func:`prune` deletes at most."""
_CHUNK: Final = 500


def prune(queue_name: str, settings: QueueSettings, *, limit: int = PRUNE_BATCH) -> dict[str, int]:
    """Delete one batch of a queue's tasks that are kept no longer; return how many by status.

    Finished and cancelled tasks go KEEP_FINISHED_SECONDS after their end, tasks in error after
    KEEP_FAILED_SECONDS, on the database's clock, oldest first, with their attempts. None means kept
    for ever: then nothing of that status is deleted. At most ``limit`` tasks go, each status in a
    short transaction of its own; rows that somebody else has locked are left for the next time.
    A batch that comes back full (its counts add up to ``limit``) says that more may be due.
    """
    deleted = dict.fromkeys(Task.TERMINAL_STATUSES, 0)
    for status, seconds in _kept_seconds(settings).items():
        room = limit - sum(deleted.values())
        if room > 0:
            deleted[status] = _delete_batch(_expired(queue_name, status, seconds), room)
    return deleted


def count_prunable(queue_name: str, settings: QueueSettings) -> dict[str, int]:
    """Return how many tasks of a queue pruning would delete now, by status; changes nothing."""
    counts = dict.fromkeys(Task.TERMINAL_STATUSES, 0)
    for status, seconds in _kept_seconds(settings).items():
        counts[status] = _expired(queue_name, status, seconds).count()
    return counts


def delete(ids: Iterable[int]) -> list[int]:
    """Delete tasks with their attempts and return the ids deleted.

    Tasks in process are left alone, as are rows that somebody else has locked: they are about to be
    claimed or recorded.
    """
    wanted = sorted(set(ids))
    deletable = task_rows().exclude(status=Task.STATUS_IN_PROCESS)
    deleted: list[int] = []
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        deleted += _delete_guarded(deletable.filter(pk__in=chunk).order_by("pk"))
    return deleted


def _kept_seconds(settings: QueueSettings) -> dict[str, float]:
    ages = {
        Task.Status.FINISHED.value: settings.KEEP_FINISHED_SECONDS,
        Task.Status.CANCELLED.value: settings.KEEP_FINISHED_SECONDS,
        Task.Status.ERROR.value: settings.KEEP_FAILED_SECONDS,
    }
    return {status: seconds for status, seconds in ages.items() if seconds is not None}


def _expired(queue_name: str, status: str, seconds: float) -> QuerySet[Task]:
    # One status and one queue at a time: a range of the index that holds these rows and no others,
    # however many older ones other queues keep.
    return (
        task_rows()
        .filter(is_terminal(), status=status, queue_name=queue_name)
        .filter(finished_at__lt=Now() - timedelta(seconds=seconds))
        .order_by("finished_at")
    )


def _delete_batch(expired: QuerySet[Task], limit: int) -> int:
    if _can_skip_locked():
        return len(_delete_guarded(expired, limit=limit))
    # SQLite: find them before the transaction, so that nobody waits for the search.
    ids = list(expired.values_list("pk", flat=True)[:limit])
    return len(_delete_guarded(expired.filter(pk__in=ids))) if ids else 0


def _delete_guarded(tasks: QuerySet[Task], *, limit: int | None = None) -> list[int]:
    """Delete tasks with their attempts in one transaction, without waiting for locked rows."""
    with transaction.atomic(using=database()):
        if _can_skip_locked():
            locked = tasks.select_for_update(skip_locked=True).values_list("pk", flat=True)
            tasks = tasks.filter(pk__in=list(locked[:limit]))
        # A DELETE comes first: on SQLite it takes the write lock under which the rest is read.
        attempt_rows().filter(task__in=tasks.order_by()).delete()
        ids = list(tasks.values_list("pk", flat=True))
        # Only the key is read, so arguments that cannot be decoded are no obstacle.
        task_rows().filter(pk__in=ids).only("pk").delete()
    return ids


def _can_skip_locked() -> bool:
    return bool(connections[database()].features.has_select_for_update_skip_locked)
