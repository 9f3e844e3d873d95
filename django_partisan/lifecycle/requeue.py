"""Putting terminal tasks back to new."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from django.db import transaction
from django.db.models import Case, OuterRef, Subquery, Value, When
from django.db.models.functions import Now

from django_partisan.lifecycle.conflicts import tried_again
from django_partisan.lifecycle.dependencies import tell_dependents
from django_partisan.lifecycle.notifications import announce
from django_partisan.lifecycle.rows import (
    database,
    dependency_rows,
    progress_rows,
    task_rows,
    untold_rows,
)
from django_partisan.lifecycle.uniqueness import regain_uniqueness
from django_partisan.models import Task

_TELLS: Final = 20
"""So often dependents are told before a task is left as it is, since one of them is locked."""


def requeue(ids: Iterable[int]) -> list[int]:
    """Put terminal tasks back to new, due now, with their counters reset; return the ids moved.

    They expire no more: somebody wants them to run. One that still waits for others waits on. A
    task that is not terminal is left alone. Its former attempts stay readable, and who has waited
    for it does not wait again. One that had not finished goes on from its checkpoint.
    """
    alias = database()
    moved = tried_again(alias, partial(_moved, alias, list(ids)))
    regain_uniqueness(moved)
    return moved


def _moved(alias: str, ids: list[int]) -> list[int]:
    with transaction.atomic(using=alias):
        queryset = task_rows().filter(pk__in=ids, status__in=Task.TERMINAL_STATUSES)
        # What joins groups of a flow has no processor: nothing could run it.
        tasks = queryset.exclude(processor_class="").select_for_update(no_key=True).order_by("pk")
        rows = list(tasks.values_list("pk", "queue_name", "has_dependents", "status"))
        left = _part_with_dependents([pk for pk, _, has_dependents, _ in rows if has_dependents])
        moved = [pk for pk, *_ in rows if pk not in left]
        task_rows().filter(pk__in=moved).update(
            status=Case(
                When(blocked_by__gt=0, then=Value(Task.STATUS_WAITING)),
                default=Value(Task.STATUS_NEW),
            ),
            execute_after=Now(),
            updated_at=Now(),
            started_at=None,
            claimed_at=None,
            finished_at=None,
            result=None,
            cancel_requested_at=None,
            expires_at=None,
            held_by=None,
            attempts=0,
            retries=0,
            postpones=0,
            rescues=0,
            crashes=0,
            has_dependents=False,
        )
        _begin_anew(moved, [pk for pk, *_, status in rows if status == Task.STATUS_FINISHED])
        for queue_name in {queue_name for pk, queue_name, *_ in rows if pk not in left}:
            announce(alias, queue_name)
    return moved


def _begin_anew(moved: Sequence[int], finished: Sequence[int]) -> None:
    """Forget what finished tasks have told; the others go on from their checkpoints."""
    told = progress_rows().filter(pk__in=moved)
    told.filter(pk__in=finished).delete()
    told.update(resumptions=0)


def _part_with_dependents(parents: Sequence[int]) -> set[int]:
    """Have the end of these be told for the last time; return whose end could not be told.

    Else their next end would be counted a second time.
    """
    if not parents:
        return set()
    left = _untold(parents)
    edges = dependency_rows().filter(parent_id__in=set(parents) - left, parent_outcome=None)
    statuses = task_rows().filter(pk=OuterRef("parent_id")).values("status")
    edges.update(parent_outcome=Subquery(statuses))
    return left


def _untold(parents: Iterable[int]) -> set[int]:
    wanted, left = set(parents), set()
    for _ in range(_TELLS):
        # Under their locks nobody else is telling just now.
        marks = untold_rows().order_by("pk").select_for_update().values_list("ends", flat=True)
        left = wanted.intersection(pk for ends in marks for pk, _ in ends)
        if not left:
            break
        tell_dependents()
    return left
