"""Giving back what has waited in the local queue for too long."""

from __future__ import annotations

from typing import Final

from django_partisan.config.const import NEVER
from django_partisan.manager.claiming.queues import Queues
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.round_trip import RoundTrip

LOOK_SECONDS: Final = 1.0
"""How often to look for tasks that have waited for too long."""


class LocalTtl:
    """Releases tasks that have not started within PARTISAN_LOCAL_TTL_SECONDS of their claim.

    An idle peer could run them now.
    """

    def __init__(
        self, queue: LocalQueue, queues: Queues, round_trip: RoundTrip, seconds: float
    ) -> None:
        self._queue = queue
        self._queues = queues
        self._round_trip = round_trip
        self._seconds = seconds
        self._look_at = 0.0

    def next_deadline(self) -> float:
        """Return when to look next; NEVER while nothing waits."""
        return self._look_at if self._queue.qsize() else NEVER

    def turn(self, now: float) -> None:
        """Release what is too old, and have the next claims take fewer."""
        if now < self.next_deadline():
            return
        self._look_at = now + LOOK_SECONDS
        old = self._queue.take_older_than(now - self._seconds)
        if old:
            self._queues.had_too_many(old)
            self._round_trip.release(old)
            self._round_trip.flush_released(now)
