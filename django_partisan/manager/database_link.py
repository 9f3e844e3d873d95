"""The manager's one database connection: opened, watched, given up, and opened again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.backoff import Backoff
from django_partisan.database import Dialect, dialect_for
from django_partisan.database.autocommit import require_autocommit, switch_on_autocommit
from django_partisan.database.database_file import DatabaseFile
from django_partisan.database.watchdog import Watchdog
from django_partisan.exceptions import DatabaseRefused
from django_partisan.logs import Reasons, one_line
from django_partisan.manager.statement_thread import StatementThread
from django_partisan.shortage import is_shortage

logger = logging.getLogger(__name__)
Answer = Callable[[], Any]
"""Returns what a call beside the loop returned, or raises what it raised."""
RETRY_SECONDS: Final = (0.1, 2.0)
"""The first and the longest wait before the database is tried again."""
LONGEST_ATTEMPT_SECONDS: Final = 2.0
"""How long a lost connection may keep the loop once it is in a hurry."""
FILE_CHECK_SECONDS: Final = 1.0
"""How often to see whether the file of an SQLite database was replaced."""


class DatabaseLink:
    """Lets the manager use its database without ever failing on it.

    Each reason for failing is logged once per outage; calls are refused until the next retry is
    due, 0.1 to 2 seconds later with jitter. ``on_connect`` runs after every (re)connect and may
    raise too.

    One call at a time may be under way in the thread ``statement``, beside the loop.
    :meth:`ready` waits for it, so the connection never serves two threads at once.
    """

    def __init__(self, alias: str, on_connect: Callable[[], None]) -> None:
        self.alias = alias
        self.connection: BaseDatabaseWrapper = connections[alias]
        """Django's connection; the thread that makes the link has it to itself."""
        self.dialect: Dialect = dialect_for(alias)
        """The dialect of the database."""
        self._on_connect = on_connect
        self._backoff = Backoff(*RETRY_SECONDS)
        self._retry_at = 0.0
        self._deadline = float("inf")
        self._session: Any = None
        self._file: DatabaseFile | None = None
        self._file_check_at = 0.0
        self._is_connected = False
        self._has_failed = False
        self._reasons = Reasons()
        self._take_answer: Callable[[Answer], None] | None = None
        self.statement = StatementThread()
        self.watchdog = Watchdog(self.connection)
        self.connects = 0

    @property
    def is_up(self) -> bool:
        """Whether the last use of the database went well, on the session that was prepared."""
        return self._is_connected and not self._has_failed and self._is_our_session()

    def retry_at(self) -> float | None:
        """Return when to connect anew: at once where nothing failed, None while all is well."""
        if self._has_failed:
            return self._retry_at
        return None if self.is_busy or self.is_up else 0.0

    def ready(self, now: float) -> bool:
        """Say whether the database may be used now, connecting first where needed.

        The answer to a call that is under way is waited for and taken in before.
        """
        self.finish(now)
        if self._has_failed and now < self._retry_at:
            return False
        if self._is_connected and not (self._is_our_session() and self._is_our_file(now)):
            self.close()
        if not self._is_connected:
            # Not yet proof of anything: who may connect may be refused all the rest.
            with self._forgiving(now):
                self._connect_or_refuse()
        return self._is_connected

    def use(self, now: float, work: Callable[[], object]) -> bool:
        """Do some work with the database if it may be used now; say whether all went well.

        An error of the database ends the work, and is dealt with here.
        """
        if not self.ready(now):
            return False
        try:
            with self.watchdog.watching():
                work()
        except Exception as error:  # noqa: BLE001 - raised again where it is not the database's
            self._forgive(error, now)
            return False
        self._succeeded()
        return True

    @contextmanager
    def attempt(self, now: float) -> Iterator[None]:
        """Use the database inside; an error of it ends the block, and is dealt with here."""
        with self._forgiving(now):
            yield
            self._succeeded()

    def begin(self, call: Callable[[], Any], take_answer: Callable[[Answer], None]) -> None:
        """Have a call use the connection beside the loop; ``take_answer`` gets its answer later.

        Must be the last use of the database before the next :meth:`ready`.
        """
        self._take_answer = take_answer
        self.statement.start(self.watchdog.watched(call))

    @property
    def is_busy(self) -> bool:
        """Whether a call is under way, or its answer not taken in yet."""
        return self._take_answer is not None

    def finish(self, now: float) -> None:
        """Wait for the call that is under way, if any, and take its answer in."""
        if self._take_answer is not None:
            take_answer, self._take_answer = self._take_answer, None
            with self.attempt(now):
                take_answer(self.statement.result)

    def shorten_timeouts(self, deadline: float) -> None:
        """Wait less patiently from now on, so that nothing here is in the way at a deadline."""
        self.watchdog.shorten_timeouts()
        self.dialect.shorten_timeouts(self.connection)
        self._deadline = deadline
        self._retry_at = 0.0

    def end(self) -> None:
        """Close the connection for good, after the call that is under way."""
        self.finish(time.monotonic())
        self.close()
        self.statement.close()
        self.watchdog.close()

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        self._is_connected = False
        try:
            self.connection.in_atomic_block = False
            self.connection.close()
        except Error:
            self.connection.connection = None

    def has_survived(self) -> bool:
        """Say whether the session that was prepared still works, after an error."""
        try:
            with self.watchdog.watching():
                return self._is_our_session() and bool(self.connection.is_usable())
        except (Error, OSError):
            return False

    @contextmanager
    def _forgiving(self, now: float) -> Iterator[None]:
        try:
            with self.watchdog.watching():
                yield
        except Exception as error:  # noqa: BLE001 - raised again where it is not the database's
            self._forgive(error, now)

    def _forgive(self, error: Exception, now: float) -> None:
        # A driver may fail for lack of descriptors or memory without an error of its own.
        if not isinstance(error, Error) and not is_shortage(error):
            raise error
        # The attempt itself may have taken long.
        self._failed(error, max(now, time.monotonic()))

    def _connect_or_refuse(self) -> None:
        """Connect; raise DatabaseRefused where the very first attempt shows that none will do."""
        try:
            self._connect()
        except Error as error:
            why = None if self.connects else self.dialect.why_refused(self.connection, error)
            if why is None:
                raise
            raise DatabaseRefused(
                f"The database cannot be used: {why} in DATABASES[{self.alias!r}]."
            ) from error

    def _connect(self) -> None:
        self.dialect.prepare_options(self.connection)
        self.connection.settings_dict["AUTOCOMMIT"] = True
        self._file = DatabaseFile(self.connection)
        self.connection.ensure_connection()
        switch_on_autocommit(self.connection)
        # DEBUG would keep every statement in memory.
        self.connection.force_debug_cursor = False
        self.connection.queries_log.clear()
        if not self.connection.allow_thread_sharing:
            self.connection.inc_thread_sharing()
        self._session = self.connection.connection
        self._on_connect()
        require_autocommit(self.connection)
        self._is_connected = True
        self.connects += 1

    def _succeeded(self) -> None:
        if self._has_failed:
            logger.warning("the database is back")
        self._has_failed = False
        if len(self._reasons):
            self._reasons.forget()
        self._backoff.reset()

    def _failed(self, error: Exception, now: float) -> None:
        was_failing = self._has_failed
        self._tell(error)
        self._has_failed = True
        self._retry_at = self._clear_of_deadline(now + self._backoff.next())
        # A session may answer and be no good all the same: that of a server which is a standby now.
        if not self._is_connected or was_failing or not self.has_survived():
            self.close()

    def _tell(self, error: Exception) -> None:
        """Log why the database cannot be used, unless that was said during this outage."""
        is_first = not len(self._reasons)
        if not self._reasons.add(error):
            return
        reason = one_line(error)
        if is_first:
            logger.error("the database cannot be used; trying again until it can: %s", reason)
        else:
            logger.error("the database is still not usable, now because of: %s", reason)

    def _clear_of_deadline(self, moment: float) -> float:
        is_too_late = self._deadline - LONGEST_ATTEMPT_SECONDS < moment < self._deadline
        return self._deadline if is_too_late else moment

    def _is_our_session(self) -> bool:
        """Say whether this is still the session that was prepared.

        A connection that is lost inside a transaction is opened anew by Django at the end of the
        block: a session that hears no notifications, has no limits, and knows of no lost claim.
        """
        return self.connection.connection is self._session

    def _is_our_file(self, now: float) -> bool:
        """Say whether the database's file is still the one that is open, as far as is known."""
        if self._file is None or now < self._file_check_at:
            return True
        self._file_check_at = now + FILE_CHECK_SECONDS
        if not self._file.is_replaced():
            return True
        logger.warning("the database's file was replaced: opening the new one")
        return False
