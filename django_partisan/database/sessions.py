"""Database sessions: what statements leave behind in one, and how one is made like a fresh one."""

from __future__ import annotations

import contextlib
import operator
import re
import weakref
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

_Rule = tuple[str, re.Pattern[str] | None]
"""What must stand in a text in lower case, and what more precisely if that is not enough."""


def _words(*words: str) -> tuple[_Rule, ...]:
    return tuple((word, re.compile(rf"{word}(?<=\b{word})\b")) for word in words)


_POSTGRESQL: Final[tuple[_Rule, ...]] = (
    ("load", re.compile(r'load(?<![\w."]load)(?![\w"])')),
    ("setseed", None),
    # connections to other servers
    ("dblink", None),
    ("postgres_fdw", None),
    ("import", re.compile(r"import\s+foreign")),
    # a replication origin, a temporary slot, a backup
    ("replication_origin", None),
    ("replication_slot", None),
    ("pg_backup", None),
    ("pg_start_backup", None),
    # A variable of the project's own is '' for ever after, even when it was set for a transaction
    # alone; in a fresh session it is NULL.
    (
        "set",
        re.compile(
            r"set(?:(?<=\bset)|(?<=\breset))\s*(?:\b(?:session|local)\s*)?"
            r'(?:(?:"[^"]*"|\b\w+)\s*\.|"[^"]*\.[^"]*")'
        ),
    ),
    ("set_config", re.compile(r"""set_config"?\s*\((?!\s*'[^'.]*'\s*,)""")),
    # code that is not seen
    ("do", re.compile(r"do(?<=\bdo)\s*(?:language\s+\S+\s+)?(?:\$|(?:e|u&)?')")),
)
_RULES: Final = {
    # What DISCARD ALL leaves as it is. In doubt a session is closed: that costs a few milliseconds.
    "postgresql": _POSTGRESQL,
    # On SQLite nothing discards anything.
    "sqlite": _words("pragma", "attach", "detach", "temp", "temporary", "load_extension"),
}
_BLOCK_COMMENT: Final = re.compile(r"/\*(?:(?!/\*|\*/).)*\*/", re.DOTALL)
_LINE_COMMENT: Final = re.compile(r"--[^\n]*")
_SHORT: Final = 2_000
"""The length of texts of which it is remembered what they leave."""
_STATE: Final = (
    *("autocommit", "isolation_level", "read_only", "readonly", "deferrable", "encoding"),
    *("cursor_factory", "server_cursor_factory", "row_factory", "prepare_threshold"),
    *("prepared_max", "string_types", "binary_types"),
)
"""What psycopg 2 or 3 remembers of a connection, where a task can see and change it."""
_getters: dict[type[Any], Callable[[Any], Any]] = {}
"""Those of them that a kind of connection has, looked up at once."""
_CONTENTS: Final = ("_dumpers_by_oid", "_loaders")
_HANDLERS: Final = ("_notice_handlers", "_notify_handlers")
_REPORTED: Final = (
    *("client_encoding", "DateStyle", "IntervalStyle", "TimeZone", "standard_conforming_strings"),
)
"""What the server tells by itself whenever it changes: no question is needed."""
_IDLE: Final = 0
"""What libpq calls a connection without a transaction."""


def outlasts_discard(connection: BaseDatabaseWrapper, sql: object, cursor: object = None) -> bool:
    """Say whether a statement may leave what only the end of its session clears.

    The whole text is searched, comments and later statements included. What the database does
    inside of its functions is not seen.
    """
    text = sql if isinstance(sql, str) else _rendered(sql, cursor)
    if text is None:
        return connection.vendor in _RULES
    # Tasks say the same again and again, with other parameters.
    read = _read_before if len(text) <= _SHORT else _read
    return read(connection.vendor, text)


def _read(vendor: str, text: str) -> bool:
    text = text.lower()
    # Nearly every text is done with after this line, long ones too.
    rules = tuple([rule for rule in _RULES.get(vendor, ()) if rule[0] in text])
    return any(
        pattern is None or pattern.search(reading) is not None
        for _, pattern in rules
        for reading in _readings(text)
    )


_read_before: Final = lru_cache(maxsize=256)(_read)


def make_fresh(connection: BaseDatabaseWrapper) -> bool:
    """Let PostgreSQL discard what a session remembers, then set what Django sets at its begin.

    False when the next session will need less for that, so that this one had better end. Raises the
    driver's errors. It goes through a cursor of Django's: the drivers watch for DISCARD there, to
    forget which statements they have prepared. Not for sessions behind a pooler.
    """
    with connection.create_cursor() as cursor:
        cursor.execute("DISCARD ALL")
    if _is_given_a_zone(connection):
        return False
    connection.init_connection_state()
    return True


def _is_given_a_zone(connection: BaseDatabaseWrapper) -> bool:
    """Have sessions begin with Django's time zone from now on, and say so, where this has not.

    DISCARD ALL goes back to what a session began with, so the zone costs no round trip then.
    """
    info, zone = raw_connection(connection).info, connection.timezone_name
    given, option = info.options or "", f"-c TimeZone={zone}"
    if not zone or info.parameter_status("TimeZone") == zone or option in given:
        return False
    connection.settings_dict["OPTIONS"]["options"] = f"{given} {option}".strip()
    return True


def is_pooled(connection: BaseDatabaseWrapper) -> bool:
    """Say whether a pooler stands between a driver and PostgreSQL; costs one round trip."""
    with connection.create_cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    return bool(pid != raw_connection(connection).info.backend_pid)


def driver_state(raw: Any) -> tuple[Any, ...]:
    """Return what the driver remembers of a PostgreSQL session; costs no round trip.

    Two equal values say that nothing has changed between them.
    """
    status = raw.info.parameter_status
    return (
        [dict(value) if isinstance(value, dict) else value for value in _values(raw)],
        [list(getattr(raw, name, ())) for name in _HANDLERS],
        list(_adapters(raw)),
        [status(name) for name in _REPORTED],
    )


def _values(raw: Any) -> tuple[Any, ...]:
    kind = type(raw)
    if kind not in _getters:
        names = [name for name in _STATE if hasattr(raw, name)]
        _getters[kind] = operator.attrgetter(*names)
    values: tuple[Any, ...] = _getters[kind](raw)
    return values


def raw_connection(connection: BaseDatabaseWrapper) -> Any:
    """Return the driver's connection, None where there is none, unnoticed by whoever watches."""
    return vars(connection)["connection"]


def is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Say whether a transaction is open, begun by Django or past it; costs no round trip."""
    if connection.in_atomic_block or not connection.autocommit:
        return True
    # A BEGIN of the task's own: Django does not know of it, its driver does, without asking.
    raw = raw_connection(connection)
    if hasattr(raw, "in_transaction"):
        return bool(raw.in_transaction)
    info = getattr(raw, "info", None)
    return info is not None and int(info.transaction_status) != _IDLE


def foreign_receivers() -> list[str]:
    """Return who of the project does something to each new connection, beside Django and this.

    What such a receiver sets is gone after DISCARD ALL, and only a new connection calls it again.
    """
    return sorted(set(filter(_is_foreign, map(_name_of, connection_created.receivers))))


def is_django_s_own(connection: BaseDatabaseWrapper) -> bool:
    """Say whether the backend is one of Django's: others may keep notes of what they have set."""
    return type(connection).__module__.startswith("django.")


def leave_pools() -> None:
    """Close Django's connection pools in this process; from now on connections are plain ones.

    A pool would hand dirty sessions on, and its sockets and threads do not survive a fork. Call it
    when this process has closed its connections. Calling it again changes nothing.
    """
    for alias, database in connections.settings.items():
        options = database.get("OPTIONS") or {}
        if options.get("pool"):
            # Without the driver for it no pool can have been opened.
            with contextlib.suppress(ImproperlyConfigured):
                connections[alias].close_pool()  # type: ignore[attr-defined]
        options.pop("pool", None)


def _rendered(sql: object, cursor: object) -> str | None:
    """Return the text of a composed statement, None where it cannot be known."""
    if isinstance(sql, bytes):
        return sql.decode("utf-8", "replace")
    try:
        return str(sql.as_string(cursor))  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - the driver refuses such a statement as well, in its own way
        return None


def _readings(text: str) -> Iterator[str]:
    """Yield the text as it is and without comments: what looks like one may stand in a string."""
    yield text
    if "/*" in text or "--" in text:
        yield _LINE_COMMENT.sub(" ", text)
        bare, count = text, 1
        while count:  # They nest: the innermost go first.
            bare, count = _BLOCK_COMMENT.subn(" ", bare)
        yield bare
        yield _LINE_COMMENT.sub(" ", bare)


def _adapters(raw: Any) -> Iterator[tuple[int, int]]:
    """Yield what tells whether types were registered on a connection of psycopg 3."""
    adapters = getattr(raw, "adapters", None)
    yield id(adapters), 0
    for part in (*_parts(adapters), *getattr(adapters, "_dumpers", {}).values()):
        yield id(part), len(part)


def _parts(adapters: Any) -> Iterator[Any]:
    for name in _CONTENTS:
        yield from getattr(adapters, name, ())


def _name_of(entry: tuple[Any, ...]) -> str:
    receiver = entry[1]
    if isinstance(receiver, weakref.ReferenceType):
        receiver = receiver()
    if receiver is None:  # It is gone, and will be taken off the list.
        return "django."
    name = getattr(receiver, "__qualname__", type(receiver).__qualname__)
    return f"{getattr(receiver, '__module__', '')}.{name}"


def _is_foreign(name: str) -> bool:
    return not name.startswith(("django.", "django_partisan."))
