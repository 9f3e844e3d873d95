"""How many tasks to claim: enough for the next moment, from MIN up to MAX."""

from __future__ import annotations

from math import ceil
from typing import Final, Protocol

from django_partisan.settings import QueueSettings

AHEAD_SECONDS: Final = 1.0
"""How much work the local queue holds at most, where nobody has named its size."""
AT_ONCE_SECONDS: Final = 0.05
"""How much work of one queue may be claimed at once, however small its share is.

Of quick tasks that is a whole claim: with one of each share, twenty queues would take twenty times
as many claims.
"""
CLAIM_TASKS: Final = 500
"""A claim takes no more: while the manager takes in a larger one, workers run out of tasks."""
_FIRST_TASKS: Final = 10
"""What is claimed for each worker while nobody knows how long tasks take."""
_SHORTEST: Final = 1e-6


class Pace(Protocol):
    """How quickly tasks are run, as far as is known."""

    @property
    def mean(self) -> float | None:
        """Seconds that a task takes in the mean, None while that is unknown."""

    @property
    def share(self) -> float:
        """The part of the workers' time that goes to these tasks."""


class Prefetch:
    """Fills the local queue up to MAX once it holds MIN tasks or fewer.

    Where neither MIN nor MAX is given, their defaults hold for quick tasks only: of others it
    claims what its workers start within a second, so that the rest is left to idle peers.
    """

    def __init__(self, settings: QueueSettings, pace: Pace) -> None:
        self._settings = settings
        self._pace = pace
        self._has_given_sizes = settings.has_given_sizes
        self._cap = settings.MAX_QUEUE_SIZE
        self._is_filling = True

    def limit(self, held: int) -> int:
        """Return how many tasks to claim while so many wait here for a worker."""
        most = self._most()
        if held <= self._least(most):
            self._is_filling = True
        elif held >= most:
            self._is_filling = False
        return max(0, min(most - held, CLAIM_TASKS)) if self._is_filling else 0

    def took(self, claimed: int, limit: int, *, was_empty: bool) -> None:
        """Take note of a claim; ``was_empty`` says that the workers had waited for it."""
        if claimed < limit:
            self._is_filling = False
        elif was_empty:
            self._cap = min(self._settings.MAX_QUEUE_SIZE, 2 * self._cap)

    def had_too_many(self) -> None:
        """Take note that tasks have waited here for too long: begin anew with few."""
        self._cap = min(self._settings.MAX_QUEUE_SIZE, self._settings.WORKERS_COUNT)

    def _most(self) -> int:
        if self._has_given_sizes:
            return self._cap
        workers, share, seconds = self._settings.WORKERS_COUNT, self._pace.share, self._pace.mean
        places = workers * self._settings.CONCURRENCY
        if seconds is None:
            each = _FIRST_TASKS * share
        else:
            each = max(AHEAD_SECONDS * share, AT_ONCE_SECONDS) / max(seconds, _SHORTEST)
        return min(self._cap, max(ceil(places * share), int(workers * each)))

    def _least(self, most: int) -> int:
        return self._settings.MIN_QUEUE_SIZE * most // self._settings.MAX_QUEUE_SIZE
