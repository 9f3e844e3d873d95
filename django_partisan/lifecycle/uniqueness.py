"""Regaining uniqueness for tasks that wait again after an attempt."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.db import DatabaseError, connections, transaction

from django_partisan.database import dialect_for
from django_partisan.lifecycle.rows import database
from django_partisan.logs import one_line

logger = logging.getLogger(__name__)


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
