"""Watching for what a task takes of Django's connections: cursors, and the driver's own objects."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

SESSION: Final = "_partisan_session"
"""The attribute of a connection that holds who is told."""
_TELLING: Final = (
    *((BaseDatabaseWrapper, "_cursor", "note_use"), (CursorWrapper, "callproc", "note_hand_out")),
    (BaseDatabaseWrapper, "set_autocommit", "note_use"),
)
"""The methods of Django's after which a session may not be what it was."""
_TRUSTED: Final = ("django.", "django_partisan.", "psycopg")
_OBSERVERS: Final = ("sentry_sdk.", "opentelemetry.", "ddtrace.", "elasticapm.", "newrelic.")
"""Who reads from the driver's objects with each statement where a project is instrumented."""
_REVEALING: Final = frozenset(
    {"connection", "copy", "copy_expert", "copy_from", "copy_to", "stream"}
)
_frame: Final = vars(sys)["_getframe"]  # Nothing else tells who asks.
_PROXY: Final = "django.utils.connection"
_known: Final = set[object]()
"""The modules that were found to be trusted: for a small task, Django asks some twenty times."""


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
        try:
            value = instance.__dict__[self._name]
        except KeyError:
            raise AttributeError(self._name) from None
        if value is not None and _frame(1).f_globals.get("__name__") not in _known:
            _look(instance if self._owner is None else vars(instance)[self._owner], _frame(1))
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
    for kind, name, note in _TELLING:
        setattr(kind, name, _telling(getattr(kind, name), note))
    plain = CursorWrapper.__getattr__

    def of_the_driver(self: CursorWrapper, name: str) -> Any:
        if name in _REVEALING:
            _look(self.db, _frame(1))
        return plain(self, name)

    CursorWrapper.__getattr__ = of_the_driver  # type: ignore[method-assign]


def _telling(plain: Callable[..., Any], note: str) -> Callable[..., Any]:
    """Return a method of Django's that tells the session of its connection first."""

    @functools.wraps(plain)
    def told(self: Any, *args: Any, **kwargs: Any) -> Any:
        values = vars(self)
        session = vars(values.get("db", self)).get(SESSION)
        if session is not None:
            getattr(session, note)()
        return plain(self, *args, **kwargs)

    return told


def _look(connection: BaseDatabaseWrapper, frame: Any) -> None:
    """Note a hand-out unless whoever asks can be trusted."""
    module = str(frame.f_globals.get("__name__"))
    if module == _PROXY and frame.f_back is not None:
        _look(connection, frame.f_back)
    elif module.startswith((*_TRUSTED, *_OBSERVERS)):
        _known.add(module)
    elif all(module != kind.__module__ for kind in type(connection).__mro__):
        session: Watching | None = vars(connection).get(SESSION)
        if session is not None:
            session.note_hand_out()
