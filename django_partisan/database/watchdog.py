"""A thread that ends a database connection whose answer does not come in time."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.logs import Reasons

logger = logging.getLogger(__name__)
ANSWER_SECONDS: Final = 8.0
"""A little longer than the server itself gives a statement: whoever is still silent is gone."""
URGENT_SECONDS: Final = 1.5
"""The same once the process has been told to stop."""


class Watchdog:
    """Guards one of Django's connections, in whichever thread it is used.

    A network that swallows everything and still acknowledges it (a proxy, a failed-over address)
    looks alive to libpq for ever: no statement timeout, no keepalive and no signal ends the wait.
    Only shutting the socket down does; the statement then fails like one of a lost connection.
    """

    def __init__(self, connection: BaseDatabaseWrapper, seconds: float = ANSWER_SECONDS) -> None:
        self._connection = connection
        self._seconds = seconds
        self._since: dict[int, float] = {}
        self._signals: socket.socket | None = None
        self._urgent: Collection[int] = ()
        self.signalled_at = float("inf")
        """When the first signal was seen to wait for the main thread."""
        self._ended = threading.Event()
        self._reasons = Reasons()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Give everything inside, and then each statement, so many seconds to be answered.

        Statements alone are not enough: BEGIN and COMMIT do not pass through Django's cursors.
        """
        if self._connection.vendor == "sqlite":  # no feature tells that there is no network
            yield
            return
        self._start()
        self._expect()
        with self._connection.execute_wrapper(self._watch_statement):
            try:
                yield
            finally:
                self._since.pop(threading.get_ident(), None)

    def watched(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """Return a call that is watched in the thread that makes it."""

        def make() -> Any:
            self._expect()
            try:
                return call()
            finally:
                self._since.pop(threading.get_ident(), None)

        return make

    def watch_signals(self, signals: socket.socket, urgent: Collection[int]) -> None:
        """Be impatient while an urgent signal waits here for the main thread to have time.

        Python runs no handler as long as that thread waits inside the driver.
        """
        self._signals, self._urgent = signals, urgent

    def shorten_timeouts(self) -> None:
        """Be impatient from now on."""
        self._seconds = min(self._seconds, URGENT_SECONDS)

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:
            # Better unwatched than not at all; the next use of the connection tries again.
            if self._reasons.add(error):
                logger.error("the database is used without a watchdog: %s", error)  # noqa: TRY400
            return
        self._thread = thread

    def _expect(self) -> None:
        self._since[threading.get_ident()] = time.monotonic()

    def _watch_statement(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        self._expect()
        try:
            return execute(sql, params, many, context)
        finally:
            self._expect()

    def _run(self) -> None:
        while not self._ended.wait(min(0.5, self._seconds / 4)):
            oldest = min(list(self._since.values()), default=float("inf"))
            if time.monotonic() - oldest >= self._patience():
                self._since.clear()
                self._shut_down()

    def _patience(self) -> float:
        if self._signals is None or self._seconds <= URGENT_SECONDS:
            return self._seconds
        if not self._is_urgent(self._signals):
            return self._seconds
        self.signalled_at = min(self.signalled_at, time.monotonic())
        return URGENT_SECONDS

    def _is_urgent(self, signals: socket.socket) -> bool:
        try:
            waiting = signals.recv(4096, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        return any(number in self._urgent for number in waiting)

    def _shut_down(self) -> None:
        fd = self._descriptor()
        if fd is None:
            return
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as duplicate:
            # Had it been closed just now, the number might mean another socket already.
            if self._descriptor() == fd:
                logger.error("no answer from the database for too long: the connection is ended")
                duplicate.shutdown(socket.SHUT_RDWR)

    def _descriptor(self) -> int | None:
        try:
            return int(self._connection.connection.fileno())
        except Exception:  # noqa: BLE001 - the driver's own, when there is no connection just now
            return None
