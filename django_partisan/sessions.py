"""Noting which database sessions a task has changed, so that the next one gets a fresh one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

_changed: set[BaseDatabaseWrapper] = set()
_opened: set[str] = set()
_IS_CHANGE: Final = re.compile(
    r"\s*(?:SET\s+(?!LOCAL\b|CONSTRAINTS\b|TRANSACTION\b)|RESET\b|LISTEN\b|PREPARE\b|LOAD\b|PRAGMA\b"
    r"|ATTACH\b|CREATE\s+(?:(?:GLOBAL|LOCAL)\s+)?TEMP)",
    re.IGNORECASE,
).match
_CALLS: Final = ("set_config(", "advisory_lock(", "advisory_lock_shared(")


def watch_sessions() -> None:
    """Watch every connection that this process opens from now on."""
    connection_created.connect(_watch, dispatch_uid="django_partisan.sessions")


def has_opened_any() -> bool:
    """Say whether this process has opened a connection since it watches."""
    return bool(_opened)


def changed_sessions() -> set[BaseDatabaseWrapper]:
    """Return the connections with a changed session, and forget them."""
    global _changed
    if not _changed:
        return _changed
    changed, _changed = _changed, set()
    return changed


def changes_session(sql: object) -> bool:
    """Say whether a statement leaves a mark on its session that outlives its transaction.

    It need not find all of them: functions and drivers can do the same unseen.
    """
    if not isinstance(sql, str):
        return False
    return _IS_CHANGE(sql) is not None or any(call in sql for call in _CALLS)


def _watch(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    _opened.add(connection.alias)
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


__all__ = ["changed_sessions", "changes_session", "has_opened_any", "watch_sessions"]
