"""The database connections of a worker, tidied between tasks: nothing of one reaches the next."""

from __future__ import annotations

import contextlib
import re
import select
from collections.abc import Callable, Sequence
from typing import Any, Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from django_partisan.database.watchdog import Watchdog

_IN_TRANSACTION: Final = (2, 3)
"""What libpq calls a transaction, and one in which a statement has failed."""
_PING_SECONDS: Final = 3.0
_IS_CHANGE: Final = re.compile(
    r"\s*(?:SET\s+(?!LOCAL\b|CONSTRAINTS\b|TRANSACTION\b)|RESET\b|LISTEN\b|PREPARE\b|LOAD\b|PRAGMA\b"
    r"|ATTACH\b|CREATE\s+(?:(?:GLOBAL|LOCAL)\s+)?TEMP)",
    re.IGNORECASE,
).match
_CALLS: Final = ("set_config(", "advisory_lock(", "advisory_lock_shared(")

_changed: set[BaseDatabaseWrapper] = set()
_opened_aliases: set[str] = set()


def watch_connections() -> None:
    """Watch every connection that this process opens from now on."""
    connection_created.connect(_watch, dispatch_uid="django_partisan.worker.connections")


def tidy_connections() -> None:
    """Leave nothing of a task in its database connections: open transactions, errors, query logs.

    A good connection stays open: opening one per task costs more than most tasks.
    """
    changed = _take_changed()
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


def changes_session(sql: object) -> bool:
    """Say whether a statement leaves a mark on its session that outlives its transaction.

    It need not find all of them: functions and drivers can do the same unseen.
    """
    if not isinstance(sql, str):
        return False
    return _IS_CHANGE(sql) is not None or any(call in sql for call in _CALLS)


def _opened() -> Sequence[BaseDatabaseWrapper]:
    # Django's list takes longer than all else that is done for a task that uses no database.
    return connections.all(initialized_only=True) if _opened_aliases else []


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


# ----- which sessions a task has changed -----


def _watch(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    _opened_aliases.add(connection.alias)
    _changed.discard(connection)
    if _note not in connection.execute_wrappers:
        # First, because execute_wrapper() takes its own away by taking the last: a connection may
        # be opened inside of one.
        connection.execute_wrappers.insert(0, _note)


def _note(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    if changes_session(sql):
        _changed.add(context["connection"])
    return execute(sql, params, many, context)


def _take_changed() -> set[BaseDatabaseWrapper]:
    """Return the connections with a changed session, and forget them."""
    global _changed
    if not _changed:
        return _changed
    changed, _changed = _changed, set()
    return changed
