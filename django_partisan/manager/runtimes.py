"""The runtimes of tasks: by processor, to size chunks, and the mean of them all."""

from __future__ import annotations

from typing import Final

CHUNK_SECONDS: Final = 0.05
"""A chunk is made to take no longer: its rest is stuck with one worker meanwhile."""
CHUNK_TASKS: Final = 256
"""Tasks that a chunk holds at most, however quick they are."""
_WEIGHT: Final = 0.2
_MEAN_WEIGHT: Final = 0.02
_UNKNOWN_SECONDS: Final = 0.001
"""What a task is taken to need whose processor has ended none yet."""


class Runtimes:
    """Moving averages of seconds; unknown until the first task has ended.

    ``mean`` is that of all processors, over some fifty tasks.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self.mean: float | None = None
        self.share: Final = 1.0
        """The part of the workers' time that goes to these tasks: all of it."""

    def learn(self, processor_class: str, seconds: float) -> None:
        """Take one more duration into account."""
        known = self._seconds.get(processor_class)
        self._seconds[processor_class] = (
            seconds if known is None else known + _WEIGHT * (seconds - known)
        )
        mean = self.mean
        self.mean = seconds if mean is None else mean + _MEAN_WEIGHT * (seconds - mean)

    def estimate(self, processor_class: str) -> float:
        """Return how many seconds such a task is likely to take, however long that is."""
        return self._seconds.get(processor_class, _UNKNOWN_SECONDS)

    def seconds(self, processor_class: str) -> float | None:
        """Return how long such a task takes, None when that is unknown or too long for a chunk."""
        known = self._seconds.get(processor_class)
        return None if known is None or known > CHUNK_SECONDS else known
