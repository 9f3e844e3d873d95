"""Trying again what lost a race under an isolation level stricter than READ COMMITTED."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from django.db import OperationalError, connections

from django_partisan.backoff import Backoff
from django_partisan.database import dialect_for
from django_partisan.exceptions import DuplicateNotVisible

T = TypeVar("T")
TRIES: Final = 20
"""So often is something tried, within two seconds in all."""


def tried_again(alias: str, work: Callable[[], T], *, unique: str | None = None) -> T:
    """Do some work of a few statements, again while others are in the way of its snapshot.

    In a caller's transaction nothing can be tried again: there the error is raised, and, where a
    task was to be enqueued that is ``unique``, of the processor of that name, DuplicateNotVisible.
    """
    backoff = Backoff(0.001, 0.2, jitter=1.0)
    while True:
        try:
            return work()
        except OperationalError as error:
            if not dialect_for(alias).is_conflict(error):
                raise
            if _is_in_transaction(alias):
                if unique is None:
                    raise
                raise DuplicateNotVisible(unique) from error
            if backoff.tries + 1 >= TRIES:
                raise
        time.sleep(backoff.next())


def _is_in_transaction(alias: str) -> bool:
    connection = connections[alias]
    return connection.in_atomic_block or not connection.get_autocommit()
