"""When to look for due tasks: notifications, writes to an SQLite file, due times, polls."""

from __future__ import annotations

import logging
import os
import random
import select
import time
from typing import Final

from django_partisan.config.const import NEVER
from django_partisan.lifecycle.notifications import WINDOW_SECONDS, cancel_payload
from django_partisan.manager.claiming.file_watch import FileWatch
from django_partisan.manager.database_link import DatabaseLink

logger = logging.getLogger(__name__)
POLL_SECONDS: Final = 0.5
"""The longest wait on PostgreSQL when notifications do not reach the manager."""
GATHER_SECONDS: Final = 0.02
"""How long tasks may gather while they come faster than claims could take them one by one."""
_ECHO_SECONDS: Final = 1.0


class Wakeup:
    """Knows when the next claim should be tried.

    ``sleep_seconds`` is the longest wait in every mode: a wake-up may be missed, a poll is not.
    ``may_have_cancels`` is set where somebody may have asked for the end of tasks.
    """

    def __init__(
        self, link: DatabaseLink, queue_name: str, sleep_seconds: float, may_notify: bool
    ) -> None:
        self._link = link
        self._queue_name = queue_name
        self._sleep_seconds = sleep_seconds
        self._may_notify = may_notify
        self._is_listening = False
        self._is_pooled = False
        self._file = FileWatch(link)
        self.may_have_cancels = True
        self._poll_at = 0.0
        self._expected_at = NEVER
        self._notified_at = NEVER
        self._repeat_at = NEVER
        self._gather_until = NEVER

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

    def connect(self) -> None:
        """Subscribe on a fresh connection, and prove that notifications arrive on it."""
        link = self._link
        self._poll_at = 0.0
        self.may_have_cancels = True
        self._is_listening = False
        self._gather_until = NEVER
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
        if self._is_gathering():
            return None
        if not self._is_listening:
            return self._file.file_descriptor()
        return self._link.dialect.file_descriptor(self._link.connection)

    def check(self, now: float) -> None:
        """Take note of notifications, or of somebody else's writes to the file."""
        if now >= self._gather_until:
            self._notified_at = min(self._notified_at, self._gather_until)
            self._gather_until = NEVER
        if self._is_gathering():
            return
        if self._is_listening:
            self._take_notifications(now)
        elif self._file.has_changed(now):
            self._notified_at = now
            self.may_have_cancels = True

    def is_claim_due(self, now: float) -> bool:
        """Say whether it is time to look for due tasks."""
        return now >= self.next_claim()

    def is_notified(self, now: float) -> bool:
        """Say whether that is because somebody else has written, not only because of the time."""
        return now >= min(self._notified_at, self._repeat_at, self._gather_until)

    def expect(self, moment: float) -> None:
        """Look again at a moment at the latest: a task is due then."""
        self._expected_at = min(self._expected_at, moment)

    def claimed(self, now: float, *, is_stream: bool = False) -> None:
        """Take note that everything which was due by now is claimed, so that a wait begins.

        ``is_stream`` says that so many were found together that the next ones should gather.
        """
        is_told = self._is_listening or self._file.is_told
        self._gather_until = now + GATHER_SECONDS if is_stream and is_told else NEVER
        self._notified_at = NEVER
        if now >= self._repeat_at:
            self._repeat_at = NEVER
        if now >= self._expected_at:
            self._expected_at = NEVER
        self._poll_at = now + self._jittered(self._interval())

    def next_check(self) -> float:
        """Return when :meth:`check` has something to do that no descriptor tells.

        While tasks gather, that is when notifications are heeded again.
        """
        return self._gather_until if self._is_gathering() else self._file.next_look

    def next_claim(self) -> float:
        """Return when to look for due tasks."""
        moments = (self._poll_at, self._expected_at, self._notified_at, self._repeat_at)
        return min(*moments, self._gather_until)

    def next_deadline(self) -> float:
        """Return when :meth:`check` or a claim is due next."""
        return min(self.next_claim(), self.next_check())

    def _is_gathering(self) -> bool:
        return self._gather_until != NEVER

    def _take_notifications(self, now: float) -> None:
        notified = self._link.dialect.received_notifications(self._link.connection)
        if self._queue_name in notified:
            self._notified_at = now
            self._repeat_at = now + 2 * WINDOW_SECONDS
        if cancel_payload(self._queue_name) in notified:
            self.may_have_cancels = True

    def _interval(self) -> float:
        if self.has_own_session or self._file.is_watching:
            return self._sleep_seconds
        return min(self._sleep_seconds, POLL_SECONDS)

    @staticmethod
    def _jittered(seconds: float) -> float:
        # Shorter only, so that the setting stays the longest wait.
        return seconds * (1 - 0.1 * random.random())

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
