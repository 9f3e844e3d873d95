"""What dependencies mean for deletions: which tasks have to stay, and what is told of others."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.functions import Now
from django.db.models.lookups import IsNull

from django_partisan.lifecycle.rows import dependency_rows, task_rows, untold_rows
from django_partisan.models import Task

_DELETED = "deleted"
"""How dependents are told that a task has ended which was deleted before it did."""


def may_go() -> Q:
    """Return the condition on ended tasks that none of their dependents still needs them."""
    children = task_rows().filter(pk=OuterRef("child_id"))
    unfinished = children.exclude(status__in=Task.TERMINAL_STATUSES)
    edges = dependency_rows().filter(Exists(unfinished), parent_id=OuterRef("pk"))
    # Asked of each task alone: for NOT EXISTS the planner reads all dependencies at once.
    return Q(has_dependents=False) | Q(IsNull(Subquery(edges.values("pk")[:1]), True))


def part_with(ids: Sequence[int]) -> bool:
    """Let go of who waits for whom, in the transaction that is about to delete these tasks.

    Whoever waits for one that has not ended will be told that it was deleted: the answer says
    whether there is any. The results of the others stay with their dependents.
    """
    if not dependency_rows().exists():
        return False
    # Those that had ended when they were named are not told of, but their results are read.
    results = task_rows().filter(pk=OuterRef("parent_id")).values("result")
    dependency_rows().filter(parent_id__in=ids).update(parent_result=Subquery(results))
    parents = task_rows().filter(pk__in=ids, has_dependents=True)
    unfinished = parents.exclude(status__in=Task.TERMINAL_STATUSES).values_list("pk", flat=True)
    ends = [[pk, _DELETED] for pk in unfinished]
    if ends:
        untold_rows().create(ends=ends, created_at=Now())
    dependency_rows().filter(child_id__in=ids).delete()
    return bool(ends)
