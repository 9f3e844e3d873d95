"""What the pool does while the machine lacks processes, descriptors or memory: wait, and tell."""

from __future__ import annotations

import logging
import time
from typing import Final

from django_partisan.backoff import Backoff
from django_partisan.logs import Reasons

logger = logging.getLogger(__name__)
RETRY_SECONDS: Final = (0.2, 5.0)
"""The first and the longest wait before another process is asked for."""
_BURST_SECONDS: Final = 0.1
"""Refusals within this time count as one: workers are asked for together."""
_TRIAL_SECONDS: Final = 0.5
"""How long one worker is waited for before the next one is asked for."""
_CALM_SECONDS: Final = 5.0
"""How long nothing must have been refused until the shortage is over."""


class Scarcity:
    """Decides when more is asked for after the machine has refused it; each reason is told once.

    Meanwhile the workers that there are go on, and further ones are asked for one by one: many at
    once would take from each other what each of them needs.
    """

    def __init__(self) -> None:
        self.at = 0.0
        """When to ask again (monotonic)."""
        self.is_on = False
        """Whether something was refused a short while ago."""
        self._met_at = float("-inf")
        self._backoff = Backoff(*RETRY_SECONDS)
        self._reasons = Reasons()

    def met(self, error: BaseException, workers: int, wanted: int) -> None:
        """Take note of a refusal, and of how many workers there are of those that there should."""
        now = time.monotonic()
        if now - self._met_at > _BURST_SECONDS:
            self.at = max(self.at, now + self._backoff.next())
        self._met_at = now
        self.is_on = True
        if self._reasons.add(error):
            logger.error(
                "the machine lacks what all workers need; going on with %d of %d, and trying for"
                " more: %s",
                workers,
                wanted,
                error,
            )

    def asked(self, now: float) -> None:
        """Take note that a worker was asked for: the next one has to wait until it has begun."""
        if now - self._met_at > RETRY_SECONDS[1]:
            self._backoff.reset()
        self.at = max(self.at, now + _TRIAL_SECONDS)

    def has_all(self, now: float) -> None:
        """Take note that all workers are there; after a while, the shortage is over."""
        if self.is_on and now - self._met_at > _CALM_SECONDS:
            self.is_on = False
            self._reasons.forget()
            self._backoff.reset()
            logger.warning("the machine has given all workers what they need")
