"""The manager's one database connection: opened, watched, given up, and opened again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.backoff import Backoff
from django_partisan.dialects import Dialect, dialect_for

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = (0.1, 5.0)


class DatabaseLink:
    """Lets the manager use its database without ever failing on it.

    A failed call is logged once per outage; calls are refused until the next retry is due, 0.1 to
    5 seconds later with jitter. ``on_connect`` runs after every (re)connect and may raise too.
    """

    def __init__(self, alias: str, on_connect: Callable[[], None]) -> None:
        self.alias = alias
        self._on_connect = on_connect
        self._backoff = Backoff(*RETRY_SECONDS)
        self._retry_at = 0.0
        self._is_connected = False
        self._has_failed = False
        self.connects = 0

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """Django's connection, which the manager's thread has to itself."""
        return connections[self.alias]

    @property
    def dialect(self) -> Dialect:
        """The dialect of the database."""
        return dialect_for(self.alias)

    @property
    def is_up(self) -> bool:
        """Whether the last use of the database went well."""
        return self._is_connected and not self._has_failed

    def retry_at(self) -> float | None:
        """Return when the database may be used again, None when it may be used now."""
        return self._retry_at if self._has_failed else None

    def is_usable(self, now: float) -> bool:
        """Say whether the database may be used now, connecting first where needed."""
        if self._has_failed and now < self._retry_at:
            return False
        if not self._is_connected:
            with self.attempt(now):
                self._connect()
        return self._is_connected

    @contextmanager
    def attempt(self, now: float) -> Iterator[None]:
        """Use the database inside; an error of it ends the block, and is dealt with here."""
        try:
            yield
        except Error as error:
            self._failed(error, now)
        else:
            self._succeeded()

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        self._is_connected = False
        try:
            self.connection.in_atomic_block = False
            self.connection.close()
        except Error:
            self.connection.connection = None

    def _connect(self) -> None:
        self.dialect.prepare_options(self.connection)
        self.connection.ensure_connection()
        # DEBUG would keep every statement in memory.
        self.connection.force_debug_cursor = False
        self.connection.queries_log.clear()
        self._on_connect()
        self._is_connected = True
        self.connects += 1

    def _succeeded(self) -> None:
        if self._has_failed:
            logger.warning("the database is back")
        self._has_failed = False
        self._backoff.reset()

    def _failed(self, error: Error, now: float) -> None:
        if not self._has_failed:
            logger.error("the database cannot be used; trying again until it can: %s", error)
        self._has_failed = True
        self._retry_at = now + self._backoff.next()
        if not self._is_connected or not self._survived():
            self.close()

    def _survived(self) -> bool:
        try:
            return bool(self.connection.is_usable())
        except Error:
            return False
