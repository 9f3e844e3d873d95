"""Unique keys between attempts: regained by what waits again, let go when their time is over."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from django.db import DatabaseError, connections, transaction

from django_partisan.database import dialect_for
from django_partisan.database.conditions import is_throttle_over
from django_partisan.lifecycle.rows import database, task_rows
from django_partisan.logs import one_line
from django_partisan.models import Task

logger = logging.getLogger(__name__)
_NOT_BEGUN: Final = (Task.STATUS_NEW, Task.STATUS_WAITING)


def regain_uniqueness(ids: Sequence[int]) -> None:
    """Let waiting tasks keep duplicates out again where the key is free; best effort.

    A rival that takes the key at the same moment wins: the task then waits beside its duplicate.
    """
    if not ids:
        return
    alias = database()
    try:
        with transaction.atomic(using=alias):
            dialect_for(alias).regain_unique_keys(connections[alias], ids)
    except DatabaseError as error:
        logger.info(
            "uniqueness of %d waiting tasks was not regained: %s", len(ids), one_line(error)
        )


def keeps_out(duplicate: Task) -> bool:
    """Say whether a task that was found under a key keeps others out, and let it go if not."""
    if duplicate.unique_for_seconds is None or duplicate.status in _NOT_BEGUN:
        return True
    # A rival may have let it go a moment before.
    rows = task_rows().filter(pk=duplicate.pk, unique_key=duplicate.unique_key)
    return not let_go([duplicate]) and rows.exists()


def let_go(duplicates: Sequence[Task]) -> int:
    """Take the keys of duplicates whose UNIQUE_FOR_SECONDS have passed; return how many.

    Then others may be enqueued in their place. In the order of the keys, as batches take them.
    """
    keys = [
        task.unique_key
        for task in duplicates
        if task.unique_for_seconds is not None and task.status not in _NOT_BEGUN
    ]
    if not keys:
        return 0
    alias = database()
    over = task_rows().filter(is_throttle_over(dialect_for(alias)), unique_key__in=keys)
    if len(keys) == 1 or not connections[alias].features.has_select_for_update:
        return over.update(unique_key=None)
    with transaction.atomic(using=alias):
        locked = over.order_by("unique_key").select_for_update().values_list("pk", flat=True)
        return task_rows().filter(pk__in=list(locked)).update(unique_key=None)
