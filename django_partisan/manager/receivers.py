"""The database connection of the receivers that a manager calls: never the manager's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.database.sessions import is_in_transaction
from django_partisan.database.watchdog import Watchdog
from django_partisan.lifecycle.notices import Unsent


class Receivers:
    """Lets receivers use the database in the manager's thread, without harm to its own connection.

    They meet another connection under the same alias, which is opened when one of them needs it.
    So a statement of the manager may be under way meanwhile, and whatever they do (a transaction
    left open, SET, close_all()) is theirs. What is enqueued there is told in its turn, too.
    """

    def __init__(self, own: BaseDatabaseWrapper, unsent: Unsent) -> None:
        self._own = own
        self._theirs = connections.create_connection(own.alias)
        self._watchdog = Watchdog(self._theirs)
        unsent.keep(self._theirs)

    @contextlib.contextmanager
    def being_called(self) -> Iterator[None]:
        """Have receivers called inside; afterwards nothing of theirs is open that should not be.

        Each of their statements is given as long for its answer as the manager's own.
        """
        connections[self._own.alias] = self._theirs
        try:
            with self._watchdog.watching():
                yield
        finally:
            self.end_transactions()
            for connection in connections.all(initialized_only=True):
                # As Django does after a request: by CONN_MAX_AGE, and after errors.
                with contextlib.suppress(Error):
                    connection.close_if_unusable_or_obsolete()
            connections[self._own.alias] = self._own

    def end_transactions(self) -> None:
        """Roll back what a receiver has left open: the next one must not be a part of it."""
        for connection in connections.all(initialized_only=True):
            connection.queries_log.clear()
            is_open = connection.connection is not None and is_in_transaction(connection)
            if is_open or connection.in_atomic_block:
                _close(connection)

    def close(self) -> None:
        """Close the connection for good."""
        _close(self._theirs)
        self._watchdog.close()


def _close(connection: BaseDatabaseWrapper) -> None:
    # In an atomic block close() only makes a note and leaves the rest to the block's end.
    connection.in_atomic_block = False
    connection.closed_in_transaction = False
    connection.run_on_commit = []
    with contextlib.suppress(Error):
        connection.close()
