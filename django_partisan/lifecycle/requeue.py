"""Putting terminal tasks back to new."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from django.db import transaction
from django.db.models.functions import Now

from django_partisan.lifecycle.conflicts import tried_again
from django_partisan.lifecycle.notifications import announce
from django_partisan.lifecycle.rows import database, task_rows
from django_partisan.lifecycle.uniqueness import regain_uniqueness
from django_partisan.models import Task


def requeue(ids: Iterable[int]) -> list[int]:
    """Put terminal tasks back to new, due now, with their counters reset; return the ids moved.

    They expire no more: somebody wants them to run. A task that is not terminal is left alone. Its
    former attempts stay readable.
    """
    alias = database()
    moved = tried_again(alias, partial(_moved, alias, list(ids)))
    regain_uniqueness(moved)
    return moved


def _moved(alias: str, ids: list[int]) -> list[int]:
    with transaction.atomic(using=alias):
        queryset = task_rows().filter(pk__in=ids, status__in=Task.TERMINAL_STATUSES)
        rows = list(queryset.select_for_update().order_by("pk").values_list("pk", "queue_name"))
        moved = [pk for pk, _ in rows]
        task_rows().filter(pk__in=moved).update(
            status=Task.STATUS_NEW,
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
        )
        for queue_name in {queue_name for _, queue_name in rows}:
            announce(alias, queue_name)
    return moved
