"""The respawn of dead workers: at once, or slowly and with an error while many of them die."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Final

from django_partisan.backoff import Backoff

logger = logging.getLogger(__name__)
_CALM_DEATHS: Final = 20
"""So many deaths a minute are replaced at once; beyond, replacements slow down, loudly."""
_COUNTED_SECONDS: Final = 60.0
_RESPAWN_SECONDS: Final = (0.1, 1.0)
"""The first and the longest wait once there were more."""


class Respawn:
    """Decides when the next worker may be started, by the unwanted deaths of the last minute."""

    def __init__(self) -> None:
        self.at = 0.0
        """When the next worker may be started (monotonic)."""
        self._backoff = Backoff(*_RESPAWN_SECONDS)
        self._deaths: deque[float] = deque()

    def died(self, reason: str) -> None:
        """Take note of a worker that died by itself."""
        now = time.monotonic()
        self._deaths.append(now)
        while now - self._deaths[0] > _COUNTED_SECONDS:
            self._deaths.popleft()
        if len(self._deaths) <= _CALM_DEATHS:
            self._backoff.reset()
            return
        self.at = now + self._backoff.next()
        logger.error(
            "%d workers died within a minute, the last one: %s; replacing them slowly",
            len(self._deaths),
            reason,
        )
