"""How a manager learns of new tasks: notifications, writes to an SQLite file, or only polls."""

from __future__ import annotations

import logging
import os
import select
import time
from typing import Final, Protocol

from django_partisan.config.const import NEVER
from django_partisan.lifecycle.notifications import PAUSES_PAYLOAD, cancelled_queue
from django_partisan.manager.claiming.file_watch import FileWatch
from django_partisan.manager.database_link import DatabaseLink

logger = logging.getLogger(__name__)
_ECHO_SECONDS: Final = 1.0


class Hearer(Protocol):
    """Who wants to know: the queues of the manager."""

    @property
    def has_several(self) -> bool:
        """Whether there may be more than one of them."""

    def serves(self, queue_name: str) -> bool:
        """Say whether a queue is one of them."""

    def announced(self, queue_name: str, now: float) -> None:
        """Take note that somebody has announced a task of a queue, of whichever one."""

    def written(self, now: float) -> None:
        """Take note that somebody has written to the file: it may be about any queue."""


class Listener:
    """Hears on the manager's one connection what concerns its queues, and tells ``hearer``.

    ``may_have_cancels`` is set where somebody may have asked for the end of tasks,
    ``may_have_pauses`` where somebody says that something was paused or resumed.
    """

    def __init__(self, link: DatabaseLink, may_notify: bool, hearer: Hearer) -> None:
        self._link = link
        self._may_notify = may_notify
        self._hearer = hearer
        self._is_listening = False
        self._is_pooled = False
        self._file = FileWatch(link)
        self._deaf_until = NEVER
        self.may_have_cancels = self.may_have_pauses = True

    @property
    def mode(self) -> str:
        """How the manager learns of new tasks, in words."""
        if self._is_listening:
            return "LISTEN and polling, behind a pooler" if self._is_pooled else "LISTEN"
        if self._file.is_told:
            return "inotify"
        return "data_version" if self._file.is_watching else "polling"

    @property
    def has_own_session(self) -> bool:
        """Whether no pooler shares the session between clients.

        Behind one nobody can tell: in transaction mode an echo arrives as well, as long as no
        other client comes in between.
        """
        return self._is_listening and not self._is_pooled

    @property
    def is_told(self) -> bool:
        """Whether something wakes the loop when a task is enqueued."""
        return self._is_listening or self._file.is_told

    @property
    def hears_all(self) -> bool:
        """Whether polls are needed only for what is missed."""
        return self.has_own_session or self._file.is_watching

    def connect(self) -> None:
        """Subscribe on a fresh connection, and prove that notifications arrive on it."""
        link = self._link
        self.may_have_cancels = self.may_have_pauses = True
        self._is_listening = False
        self._deaf_until = NEVER
        if link.dialect.can_notify and self._may_notify:
            self._is_pooled = link.dialect.is_pooled(link.connection)
            link.dialect.listen(link.connection)
            self._is_listening = self._hears_itself()
            if not self._is_listening:
                logger.warning(
                    "notifications do not arrive (a pooler in transaction mode?); polling instead"
                )
        self._file.connect()

    def file_descriptor(self) -> int | None:
        """Return the descriptor that becomes readable with a notification or a write, or None.

        None as well while tasks gather: it would wake the loop for nothing.
        """
        if self._is_deaf():
            return None
        if not self._is_listening:
            return self._file.file_descriptor()
        return self._link.dialect.file_descriptor(self._link.connection)

    def gather(self, until: float, now: float) -> None:
        """Heed nothing before a moment, since the tasks of a queue gather; NEVER: heed all.

        Where there are several queues, one of them makes the others wait only once.
        """
        is_over = self._is_deaf() and self._deaf_until <= now
        if not (is_over and self._hearer.has_several):
            self._deaf_until = until

    def check(self, now: float) -> None:
        """Take note of notifications, or of somebody else's writes to the file."""
        if now >= self._deaf_until:
            self._deaf_until = NEVER
        if self._is_deaf():
            return
        if self._is_listening:
            self._take_notifications(now)
        elif self._file.has_changed(now):
            self._hearer.written(now)
            self.may_have_cancels = True

    def next_check(self) -> float:
        """Return when :meth:`check` has something to do that no descriptor tells.

        While tasks gather, that is when notifications are heeded again.
        """
        return self._deaf_until if self._is_deaf() else self._file.next_look

    def _is_deaf(self) -> bool:
        return self._deaf_until != NEVER

    def _take_notifications(self, now: float) -> None:
        for payload in set(self._link.dialect.received_notifications(self._link.connection)):
            cancelled = cancelled_queue(payload)
            if payload == PAUSES_PAYLOAD:
                self.may_have_pauses = True
            elif cancelled is None:
                self._hearer.announced(payload, now)
            elif self._hearer.serves(cancelled):
                self.may_have_cancels = True

    def _hears_itself(self) -> bool:
        link, echo = self._link, f"!{os.getpid()}"
        link.dialect.notify(link.connection, echo)
        deadline = time.monotonic() + _ECHO_SECONDS
        while echo not in link.dialect.received_notifications(link.connection):
            left = deadline - time.monotonic()
            fd = link.dialect.file_descriptor(link.connection)
            if left <= 0 or fd is None:
                return False
            readable = select.poll()
            readable.register(fd, select.POLLIN)
            readable.poll(min(left, 0.05) * 1000)
        return True
