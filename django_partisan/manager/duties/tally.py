"""The tally: what a manager has done, told once a minute."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.manager.recorder import Recorder, counts_in_words

logger = logging.getLogger(__name__)
_TALLY_SECONDS: Final = 60.0


class Tally:
    """Logs how many attempts ended how in the last minute; nothing where none did."""

    def __init__(self, recorder: Recorder, queue: LocalQueue, pool: WorkerPool) -> None:
        self._recorder = recorder
        self._queue = queue
        self._pool = pool
        self._told: Counter[str] = Counter()
        self._next_at: float | None = None

    def next_deadline(self) -> float:
        """Return when the minute is over; at once where none has begun."""
        return 0.0 if self._next_at is None else self._next_at

    def turn(self, now: float) -> None:
        """Tell what has been done since the last tally, if it is time."""
        if now < self.next_deadline():
            return
        self._next_at = now + _TALLY_SECONDS
        done = self._recorder.counts - self._told
        self._told = Counter(self._recorder.counts)
        if done:
            logger.info(
                "in the last minute: %s; in the local queue: %d, in workers' hands: %d",
                counts_in_words(done),
                self._queue.qsize(),
                self._pool.in_hand,
            )
