"""Backoff: the wait before the next attempt, by pure arithmetic and within bounds."""

from collections.abc import Callable
from random import random as _random

MAX_PAUSE_SECONDS = 10 * 366 * 24 * 3600.0
"""Ten years: no wait is longer, so no wait can leave the range of a datetime."""

Random = Callable[[], float]
"""Returns numbers from 0 up to 1, as :func:`random.random` does."""

# 2 ** 64 seconds is far beyond MAX_PAUSE_SECONDS; more would only risk OverflowError.
_MAX_EXPONENT = 64


def constant_pause(pause: float, try_num: int) -> float:  # noqa: ARG001 - one shape for all
    """Return `pause` for every try."""
    return bounded(pause)


def incremental_pause(pause: float, try_num: int) -> float:
    """Return `pause` multiplied by the number of the try, which counts from 1."""
    return bounded(pause * min(max(try_num, 0), int(MAX_PAUSE_SECONDS) * 1000))


def exponential_pause(pause: float, try_num: int, factor: float = 2.0) -> float:
    """Return `pause` for the first try, multiplied by `factor` for each try after it."""
    exponent = min(max(try_num - 1, 0), _MAX_EXPONENT)
    return bounded(pause * factor**exponent)


def bounded(pause: float, maximum: float | None = None) -> float:
    """Return `pause` in seconds, not below 0 and above neither `maximum` nor ten years."""
    highest = MAX_PAUSE_SECONDS if maximum is None else min(maximum, MAX_PAUSE_SECONDS)
    return max(0.0, min(float(pause), highest))


def jittered(pause: float, jitter: float, random: Random = _random) -> float:
    """Return `pause` made shorter by a random part of at most `jitter` (0 to 1) of it.

    Only ever shorter: a jittered pause cannot exceed a cap that the pause respects.
    """
    return pause * (1.0 - jitter * random())


class Backoff:
    """Grow the wait between reconnects or respawns from `initial` to `maximum` seconds.

    `next()` returns the wait to take now and remembers it was taken; `reset()` starts over.
    Nothing here sleeps. Raises ValueError when the numbers make no growing wait.
    """

    def __init__(
        self,
        initial: float,
        maximum: float,
        factor: float = 2.0,
        jitter: float = 0.1,
        random: Random = _random,
    ) -> None:
        if not (0 <= initial <= maximum and factor >= 1 and 0 <= jitter <= 1):
            raise ValueError("A backoff needs 0 <= initial <= maximum, factor >= 1, jitter 0 to 1")
        self.initial, self.maximum = initial, maximum
        self.factor, self.jitter = factor, jitter
        self._random = random
        self.tries = 0

    def next(self) -> float:
        """Return the seconds to wait before the next try."""
        self.tries += 1
        pause = exponential_pause(self.initial, self.tries, self.factor)
        return jittered(bounded(pause, self.maximum), self.jitter, self._random)

    def reset(self) -> None:
        """Forget earlier failures: the next wait is `initial` again."""
        self.tries = 0
