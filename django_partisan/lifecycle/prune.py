"""Deleting tasks: those past their retention, and those that a person has chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Self

from django.db.models import Q, QuerySet
from django.db.models.expressions import Combinable, RawSQL
from django.db.models.functions import Now

from django_partisan.database import dialect_for
from django_partisan.database.conditions import is_terminal, is_throttle_over
from django_partisan.lifecycle.deletion import (
    DELETE_BATCH,
    Deletion,
    can_skip_locked,
    delete_free,
)
from django_partisan.lifecycle.kept_parents import may_go
from django_partisan.lifecycle.rows import database, finished_rows, task_rows
from django_partisan.models import Task
from django_partisan.settings import QueueSettings

PRUNE_BATCH: Final = DELETE_BATCH
"""Tasks that one batch of a :class:`Pruner` looks at, at most."""
_LEFT_SECONDS: Final = 86_400.0
"""What has finished longer ago is history from before DELETE_TASKS_ON_COMPLETE, and stays."""


class Pruner:
    """Deletes what a queue keeps no longer, batch by batch, in one way through it.

    Finished and cancelled tasks go KEEP_FINISHED_SECONDS after their end, tasks in error after
    KEEP_FAILED_SECONDS, on the database's clock, oldest first, with their attempts. None means kept
    for ever: then nothing of that status is deleted. Each status goes in a short transaction of its
    own; rows that somebody else has locked are left for the next time.

    Tasks that something points at are kept, and not looked at again by the same pruner.
    """

    def __init__(self, queue_name: str, settings: QueueSettings) -> None:
        self._queue_name = queue_name
        self._kept_seconds = _kept_seconds(settings)
        self._passed: dict[str, _Passed] = {}
        self.kept = 0
        """How many tasks were found that something points at."""
        self.is_done = False
        """Whether the last batch found less than it could take: nothing else was due."""

    @classmethod
    def of_leftovers(cls, queue_name: str) -> Self:
        """Return one for what DELETE_TASKS_ON_COMPLETE was about to delete: finished within a day.

        A manager that is killed between outcome and deletion leaves that behind.
        """
        pruner = cls(queue_name, QueueSettings())
        pruner._kept_seconds = {Task.Status.FINISHED.value: 0.0}
        first = _Passed(Now() - timedelta(seconds=_LEFT_SECONDS), [])
        pruner._passed = {Task.Status.FINISHED.value: first}
        return pruner

    def batch(self, limit: int = PRUNE_BATCH) -> dict[str, int]:
        """Look at up to so many tasks that are due; return how many were deleted, by status."""
        deleted = dict.fromkeys(Task.TERMINAL_STATUSES, 0)
        room = limit
        for status, seconds in self._kept_seconds.items():
            if room > 0:
                done = self._delete(status, seconds, room)
                deleted[status] = len(done.deleted)
                room -= len(done.deleted) + len(done.kept)
        self.is_done = room > 0
        return deleted

    def _delete(self, status: str, seconds: float, limit: int) -> Deletion:
        expired = _expired(self._queue_name, status, seconds)
        if passed := self._passed.get(status):
            expired = expired.filter(finished_at__gte=passed.moment).exclude(pk__in=passed.ids)
        done = _delete_batch(expired, limit)
        if done.kept:
            self.kept += len(done.kept)
            self._passed[status] = _passed_with(done.kept, passed)
        return done


class _Passed(NamedTuple):
    """How far a pruner has come: the end of the last kept task, and all kept ones of it."""

    moment: datetime | Combinable
    ids: list[int]


def _passed_with(kept: list[int], before: _Passed | None) -> _Passed:
    rows = task_rows().filter(pk__in=kept).values_list("finished_at", "pk")
    ends = [(ended_at, pk) for ended_at, pk in rows if ended_at is not None]
    moment = max(ended_at for ended_at, _ in ends)
    ids = [pk for ended_at, pk in ends if ended_at == moment]
    if before is not None and before.moment == moment:
        ids += before.ids
    return _Passed(moment, ids)


def prune(queue_name: str, settings: QueueSettings, *, limit: int = PRUNE_BATCH) -> dict[str, int]:
    """Delete up to ``limit`` of a queue's tasks that are kept no longer; return how many by status.

    See :class:`Pruner`, which goes on where this begins anew. Counts that add up to ``limit`` say
    that more may be due.
    """
    pruner, deleted = (
        Pruner(queue_name, settings),
        Counter(dict.fromkeys(Task.TERMINAL_STATUSES, 0)),
    )
    while (room := limit - deleted.total()) > 0 and not pruner.is_done:
        deleted.update(pruner.batch(room))
    return dict(deleted)


def delete_throttled(queue_name: str) -> int:
    """Delete finished tasks whose UNIQUE_FOR_SECONDS have passed; return how many.

    For queues with DELETE_TASKS_ON_COMPLETE, which keeps such tasks for so long. A batch at most.
    """
    throttled = finished_rows().filter(unique_for_seconds__isnull=False)
    over = throttled.filter(_is_over(), queue_name=queue_name)
    return len(delete_free(over, limit=PRUNE_BATCH).deleted) if over.exists() else 0


def delete_parents(queue_name: str) -> int:
    """Delete finished tasks that others have waited for, once these have ended; return how many.

    For queues with DELETE_TASKS_ON_COMPLETE, which keeps such tasks for so long. A batch at most.
    """
    rows = task_rows().filter(is_terminal(), status=Task.STATUS_FINISHED, queue_name=queue_name)
    recent = rows.filter(finished_at__gte=Now() - timedelta(seconds=_LEFT_SECONDS))
    parents = recent.filter(may_go(), has_dependents=True, unique_key=None)
    return len(delete_free(parents, limit=PRUNE_BATCH).deleted) if parents.exists() else 0


def _is_over() -> RawSQL:
    return is_throttle_over(dialect_for(database()))


def count_prunable(queue_name: str, settings: QueueSettings) -> dict[str, int]:
    """Return how many tasks of a queue pruning would delete now, by status; changes nothing."""
    counts = dict.fromkeys(Task.TERMINAL_STATUSES, 0)
    for status, seconds in _kept_seconds(settings).items():
        counts[status] = _expired(queue_name, status, seconds).count()
    return counts


def delete(ids: Iterable[int]) -> list[int]:
    """Delete tasks with their attempts and return the ids deleted; see :func:`delete_or_keep`."""
    return delete_or_keep(ids).deleted


def delete_or_keep(ids: Iterable[int]) -> Deletion:
    """Delete tasks with their attempts; return which are gone, and which something points at.

    Tasks in process are left alone, as are rows that somebody else has locked: they are about to be
    claimed or recorded.
    """
    wanted = sorted(set(ids))
    deletable = task_rows().exclude(status=Task.STATUS_IN_PROCESS)
    done = Deletion([], [])
    for start in range(0, len(wanted), DELETE_BATCH):
        chunk = wanted[start : start + DELETE_BATCH]
        deleted, kept = delete_free(deletable.filter(pk__in=chunk).order_by("pk"))
        done.deleted.extend(deleted)
        done.kept.extend(kept)
    return done


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
        # What still keeps duplicates out stays.
        .filter(Q(unique_key__isnull=True) | Q(_is_over()))
        .filter(may_go())
        .order_by("finished_at")
    )


def _delete_batch(expired: QuerySet[Task], limit: int) -> Deletion:
    if can_skip_locked():
        return delete_free(expired, limit=limit)
    # SQLite: find them before the transaction, so that nobody waits for the search.
    ids = list(expired.values_list("pk", flat=True)[:limit])
    return delete_free(expired.filter(pk__in=ids)) if ids else Deletion([], [])
