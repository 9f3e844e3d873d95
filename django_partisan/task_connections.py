"""The database connections of a worker, tidied between tasks: nothing of one reaches the next."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Sequence
from typing import Any, Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.sessions import changed_sessions, has_opened_any
from django_partisan.watchdog import Watchdog

_IN_TRANSACTION: Final = (2, 3)
"""What libpq calls a transaction, and one in which a statement has failed."""
_PING_SECONDS: Final = 3.0


def tidy_connections() -> None:
    """Leave nothing of a task in its database connections: open transactions, errors, query logs.

    A good connection stays open: opening one per task costs more than most tasks.
    """
    changed = changed_sessions()
    for connection in _opened():
        connection.queries_log.clear()
        if connection.connection is None:
            continue
        if connection in changed or _is_in_transaction(connection):
            _discard(connection)
        elif connection.errors_occurred:
            _close_unless_usable(connection)


def close_ended_connections() -> None:
    """Close connections that the server or a task has ended; costs no round trip when none is."""
    for connection in _opened():
        raw = connection.connection
        if raw is not None and (getattr(raw, "closed", False) or _is_readable(raw)):
            _close_unless_usable(connection)


def close_broken_connections() -> None:
    """Close connections that did not survive the idle time, as after a database restart."""
    for connection in _opened():
        if connection.connection is not None:
            _close_unless_usable(connection)


def _opened() -> Sequence[BaseDatabaseWrapper]:
    # Django's list takes longer than all else that is done for a task that uses no database.
    return connections.all(initialized_only=True) if has_opened_any() else []


def _discard(connection: BaseDatabaseWrapper) -> None:
    # In an atomic block close() only makes a note and leaves the rest to the block's end.
    connection.in_atomic_block = False
    connection.closed_in_transaction = False
    connection.close()


def _is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    if connection.in_atomic_block or not connection.autocommit:
        return True
    # A BEGIN of the task's own: Django does not know of it, its driver does, without asking.
    raw = connection.connection
    if hasattr(raw, "in_transaction"):
        return bool(raw.in_transaction)
    info = getattr(raw, "info", None)
    return info is not None and int(info.transaction_status) in _IN_TRANSACTION


def _is_readable(raw: Any) -> bool:
    # A connection at rest has nothing to say but its end.
    if not hasattr(raw, "fileno"):
        return False
    readable = select.poll()
    readable.register(raw.fileno(), select.POLLIN)
    return bool(readable.poll(0))


def _close_unless_usable(connection: BaseDatabaseWrapper) -> None:
    # Behind a silent network the question alone would wait for ever.
    watchdog = Watchdog(connection, _PING_SECONDS)
    with contextlib.closing(watchdog), watchdog.watching():
        is_usable = connection.is_usable()
    if is_usable:
        connection.errors_occurred = False
    else:
        connection.close()
