"""Watching for what a task takes of Django's connections: cursors, and the driver's own objects."""

from __future__ import annotations

import sys
from types import CodeType
from typing import Any, Final, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

SESSION: Final = "_partisan_session"
"""The attribute of a connection that holds who is told."""
_TAKERS: Final = frozenset({"create_cursor", "_set_autocommit"})
"""The methods of backends after which a session may not be what it was."""
_TRUSTED: Final = ("django.", "django_partisan.", "psycopg")
_OBSERVERS: Final = ("sentry_sdk.", "opentelemetry.", "ddtrace.", "elasticapm.", "newrelic.")
"""Who reads from the driver's objects with each statement where a project is instrumented."""
_REVEALING: Final = frozenset(
    {"connection", "copy", "copy_expert", "copy_from", "copy_to", "stream"}
)
_frame: Final = vars(sys)["_getframe"]  # Nothing else tells who asks.
_PROXY: Final = "django.utils.connection"
_CALLPROC: Final[CodeType] = CursorWrapper.callproc.__code__


class Watching(Protocol):
    """Who is told what becomes of a connection."""

    def note_use(self) -> None:
        """Take note that a cursor is made, or autocommit changed; may raise to prevent it."""

    def note_hand_out(self) -> None:
        """Take note that somebody can do to the session whatever the driver can."""


class _HandedOut:
    """An attribute of Django's that holds an object of the driver."""

    def __init__(self, name: str, owner: str | None) -> None:
        self._name = name
        self._owner = owner

    def __get__(self, instance: Any, kind: type[Any] | None = None) -> Any:
        if instance is None:
            return self
        values = vars(instance)
        try:
            value = values[self._name]
        except KeyError:
            raise AttributeError(self._name) from None
        if value is not None:
            connection = instance if self._owner is None else values[self._owner]
            session = vars(connection).get(SESSION)
            if session is not None:
                _note(session, connection, _frame(1))
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        vars(instance)[self._name] = value


def watch_hand_outs() -> None:
    """Tell the session of each connection what is taken of it; calling it again changes nothing.

    Django's own attributes are replaced by ones that look who asks: else nobody could tell a task
    that uses the driver past Django from one that uses nothing.
    """
    if isinstance(vars(BaseDatabaseWrapper).get("connection"), _HandedOut):
        return
    setattr(BaseDatabaseWrapper, "connection", _HandedOut("connection", None))  # noqa: B010
    setattr(CursorWrapper, "cursor", _HandedOut("cursor", "db"))  # noqa: B010
    plain = CursorWrapper.__getattr__

    def of_the_driver(self: CursorWrapper, name: str) -> Any:
        if name in _REVEALING:
            session = vars(self.db).get(SESSION)
            if session is not None and not _is_trusted(self.db, _asker(_frame(1))):
                session.note_hand_out()
        return plain(self, name)

    CursorWrapper.__getattr__ = of_the_driver  # type: ignore[method-assign]


def _note(session: Watching, connection: BaseDatabaseWrapper, frame: Any) -> None:
    code = frame.f_code
    if code.co_name in _TAKERS:
        session.note_use()
    if code is _CALLPROC or not _is_trusted(connection, _asker(frame)):
        session.note_hand_out()


def _asker(frame: Any) -> str:
    module = str(frame.f_globals.get("__name__"))
    if module == _PROXY and frame.f_back is not None:
        return _asker(frame.f_back)
    return module


def _is_trusted(connection: BaseDatabaseWrapper, module: str) -> bool:
    """Say whether a module leaves a session as it is, or is a part of the backend itself."""
    if module.startswith(_TRUSTED):
        return True
    is_backend = any(module == kind.__module__ for kind in type(connection).__mro__)
    return is_backend or module.startswith(_OBSERVERS)
