"""When to look for due tasks of one queue: notifications, writes to a file, due times, polls."""

from __future__ import annotations

import random
from typing import Final

from django_partisan.config.const import NEVER
from django_partisan.lifecycle.notifications import WINDOW_SECONDS
from django_partisan.manager.claiming.listener import Listener

POLL_SECONDS: Final = 0.5
"""The longest wait on PostgreSQL when notifications do not reach the manager."""
GATHER_SECONDS: Final = 0.02
"""How long tasks may gather while they come faster than claims could take them one by one."""


class Wakeup:
    """Knows when the next claim from a queue should be tried.

    ``sleep_seconds`` is the longest wait in every mode: a wake-up may be missed, a poll is not.
    """

    def __init__(self, listener: Listener, sleep_seconds: float) -> None:
        self._listener = listener
        self._sleep_seconds = sleep_seconds
        self._poll_at = 0.0
        self._expected_at = NEVER
        self._notified_at = NEVER
        self._repeat_at = NEVER
        self._gather_until = NEVER
        self.at = 0.0
        """When to look for due tasks."""

    def connected(self) -> None:
        """Look at once, on a fresh connection."""
        self._poll_at = 0.0
        self._gather_until = NEVER
        self._set()

    def is_claim_due(self, now: float) -> bool:
        """Say whether it is time to look for due tasks."""
        return now >= self.at

    def is_notified(self, now: float) -> bool:
        """Say whether that is because somebody else has written, not only because of the time."""
        return now >= min(self._notified_at, self._repeat_at, self._gather_until)

    def is_expected(self, now: float) -> bool:
        """Say whether a task is known to be due by now."""
        return now >= self._expected_at

    def notified(self, now: float) -> None:
        """Take note that somebody else has announced a task."""
        self.written(now)
        self._repeat_at = max(now + 2 * WINDOW_SECONDS, self._notified_at)
        self._set()

    def written(self, now: float) -> None:
        """Take note that somebody has written to the file, perhaps a task of this queue."""
        # What gathers is claimed when that ends, with or without a notification.
        is_gathering = self._gather_until != NEVER
        self._notified_at = self._gather_until if is_gathering else now
        self._set()

    def expect(self, moment: float) -> None:
        """Look again at a moment at the latest: a task is due then."""
        self._expected_at = min(self._expected_at, moment)
        self._set()

    def poll_at(self, moment: float) -> None:
        """Have the next poll at a moment."""
        self._poll_at = moment
        self._set()

    def claimed(self, now: float, *, is_stream: bool = False) -> None:
        """Take note that everything which was due by now is claimed, so that a wait begins.

        ``is_stream`` says that so many were found together that the next ones should gather.
        """
        gathers = is_stream and self._listener.is_told
        self._gather_until = now + GATHER_SECONDS if gathers else NEVER
        self._listener.gather(self._gather_until, now)
        self._notified_at = NEVER
        if now >= self._repeat_at:
            self._repeat_at = NEVER
        if now >= self._expected_at:
            self._expected_at = NEVER
        self._poll_at = now + self._jittered(self._interval())
        self._set()

    def _set(self) -> None:
        moments = (self._poll_at, self._expected_at, self._notified_at, self._repeat_at)
        self.at = min(*moments, self._gather_until)

    def _interval(self) -> float:
        if self._listener.hears_all:
            return self._sleep_seconds
        return min(self._sleep_seconds, POLL_SECONDS)

    @staticmethod
    def _jittered(seconds: float) -> float:
        # Shorter only, so that the setting stays the longest wait.
        return seconds * (1 - 0.1 * random.random())
