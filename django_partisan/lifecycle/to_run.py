"""The tasks that are still to run, read in pages of bounded size: nothing is locked or changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from django_partisan.attempt import ClaimedTask
from django_partisan.lifecycle.instances import CLAIMED_COLUMNS
from django_partisan.lifecycle.rows import task_rows
from django_partisan.models import Task

STATUSES: Final = (Task.STATUS_NEW, Task.STATUS_WAITING, Task.STATUS_IN_PROCESS)
"""What is not over."""
WINDOW: Final = 2_000
"""Rows that one statement walks over at most, of whatever status they are."""
PAGE: Final = 100
"""Tasks that one statement returns at most, as arguments may be long."""


class Page(NamedTuple):
    """Some tasks that are still to run, and how many of the table's ids have been walked over."""

    tasks: list[ClaimedTask]
    done: int
    total: int


def tasks_to_run(
    queue_names: Collection[str] = (), processors: Collection[str] = ()
) -> Iterator[Page]:
    """Yield the tasks that are still to run, by their ids: of these queues and processors, or all.

    Each that was stored before the call and does not end meanwhile is there once. Of a flow, what
    only holds it together is not. By windows of ids: no index has these statuses together, and
    between two of such tasks there may be millions that have ended.
    """
    rows = task_rows()
    ids = rows.order_by("pk").values_list("pk", flat=True)
    first, last = ids.first(), ids.last()
    if first is None or last is None:
        return
    wanted = rows.filter(status__in=STATUSES).exclude(processor_class="")
    if queue_names:
        wanted = wanted.filter(queue_name__in=queue_names)
    if processors:
        wanted = wanted.filter(processor_class__in=processors)
    lower, total = first - 1, last - first + 1
    while lower < last:
        window = ids.filter(pk__gt=lower, pk__lte=last)
        upper = window[WINDOW - 1 : WINDOW].first() or last
        for tasks in _pages(wanted, lower, upper):
            yield Page(tasks, tasks[-1].id - first, total)
        yield Page([], upper - first + 1, total)
        lower = upper


def _pages(wanted: QuerySet[Task], lower: int, upper: int) -> Iterator[list[ClaimedTask]]:
    while lower < upper:
        rows = wanted.filter(pk__gt=lower, pk__lte=upper).order_by("pk")
        # As text: what cannot be decoded is to be told like all else.
        found = rows.annotate(text=Cast("arguments", TextField())).values(*CLAIMED_COLUMNS, "text")
        tasks = [_claimed(row) for row in found[:PAGE]]
        if tasks:
            yield tasks
        if len(tasks) < PAGE:
            return
        lower = tasks[-1].id


def _claimed(row: dict[str, Any]) -> ClaimedTask:
    return ClaimedTask(arguments=row.pop("text"), due=0.0, **row)
