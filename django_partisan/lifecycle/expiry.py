"""Ending tasks that wait beyond their time: cancelled as by a cancel, each with an attempt row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from django.db import connections
from django.db.models.functions import Now

from django_partisan.database import dialect_for
from django_partisan.lifecycle.rows import database, task_rows
from django_partisan.lifecycle.telling import EXPIRED, tell_cancelled
from django_partisan.models import Task

EXPIRED_BATCH: Final = 2_000
"""Tasks that one sweep ends at most."""


def expire(ids: Sequence[int] | None = None, *, limit: int = EXPIRED_BATCH) -> list[int]:
    """Cancel up to so many waiting tasks whose ``expires_at`` has passed; return their ids.

    With ``ids``, only tasks among these. Held ones end as well. A task that somebody is just
    claiming or cancelling is left to him.
    """
    alias = database()
    expired = dialect_for(alias).expire(connections[alias], limit, ids)
    tell_cancelled(expired, EXPIRED)
    return expired


def expired_among(tasks: Iterable[Task]) -> list[int]:
    """Return the ids of those that wait beyond their time, whom nobody has ended yet."""
    ids = [task.pk for task in tasks if task.expires_at is not None]
    if not ids:
        return []
    expired = task_rows().filter(pk__in=ids, status=Task.STATUS_NEW, expires_at__lte=Now())
    return list(expired.values_list("pk", flat=True))
