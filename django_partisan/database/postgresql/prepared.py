"""Statements that PostgreSQL plans once for a manager's session instead of every time."""

from __future__ import annotations

from itertools import count
from typing import Any
from weakref import WeakSet

from django.db.backends.base.base import BaseDatabaseWrapper


class PreparedStatements:
    """Prepares statements in the sessions of managers; any other session gets them in full.

    Planning the statement that records and claims takes a seventh of the server's work for it. A
    plan that is kept must be good whatever the table holds, as these are: tests say so.
    """

    def __init__(self, **statements: str) -> None:
        """Take statements by name, with ``%s`` for each parameter."""
        self._definitions = "; ".join(
            f"PREPARE partisan_{name} AS {_numbered(sql)}" for name, sql in statements.items()
        )
        self._calls = {
            sql: f"EXECUTE partisan_{name}({', '.join(['%s'] * sql.count('%s'))})"
            for name, sql in statements.items()
        }
        self._sessions: WeakSet[Any] = WeakSet()

    def prepare(self, connection: BaseDatabaseWrapper) -> None:
        """Prepare them all in a session that no pooler shares between clients; once is enough."""
        # PostgreSQL takes parameters of EXECUTE in its text only.
        is_text = not connection.settings_dict["OPTIONS"].get("server_side_binding")
        if is_text and connection.connection not in self._sessions:
            with connection.cursor() as cursor:
                # Plans for the parameters at hand would be made five times, and then compared.
                cursor.execute(f"SET plan_cache_mode = force_generic_plan; {self._definitions}")
            self._sessions.add(connection.connection)

    def are_in(self, connection: BaseDatabaseWrapper) -> bool:
        """Say whether they are prepared in the session of a connection."""
        return connection.connection in self._sessions

    def statement(self, connection: BaseDatabaseWrapper, sql: str) -> str:
        """Return what to execute for a statement: a call where it is prepared."""
        return self._calls[sql] if self.are_in(connection) else sql


def _numbered(sql: str) -> str:
    """Return a statement with $1, $2, ... for its parameters."""
    parts, numbers = sql.split("%s"), count(1)
    return parts[0] + "".join(f"${next(numbers)}{part}" for part in parts[1:])
