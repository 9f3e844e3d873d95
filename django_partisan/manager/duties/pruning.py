"""When ended tasks are pruned: often enough, and never for much of the manager's time."""

from __future__ import annotations

import time
from typing import Final

from django_partisan.config.const import NEVER
from django_partisan.lifecycle import prune
from django_partisan.lifecycle.prune import PRUNE_BATCH
from django_partisan.manager.standing import Standing
from django_partisan.settings import QueueSettings

_INTERVAL_SECONDS: Final = 60.0
_TIMES_AS_LONG: Final = 5.0
"""While batches come back full: from one to the next, compared with what it takes."""


class Pruning:
    """Prunes one queue by its retention settings, batch by batch.

    Once a minute; a full batch is followed by the next one soon, at a fifth of the manager's time
    in all. So the faster tasks can be deleted, the more of them are.
    """

    def __init__(self, queue_name: str, settings: QueueSettings, standing: Standing) -> None:
        self._queue_name = queue_name
        self._settings = settings
        self._standing = standing
        self._next_at = 0.0

    def next_deadline(self) -> float:
        """Return when the next batch is due; NEVER while no work may be begun."""
        return self._next_at if self._standing.may_begin_work else NEVER

    def turn(self, now: float) -> None:
        """Delete a batch of what the settings let go of, if it is time."""
        if now < self.next_deadline():
            return
        started = time.monotonic()
        is_full = sum(prune(self._queue_name, self._settings).values()) >= PRUNE_BATCH
        spent = time.monotonic() - started
        self._next_at = now + (_TIMES_AS_LONG * spent if is_full else _INTERVAL_SECONDS)
