"""Finding the queues of a manager that serves all of them, and telling which it serves."""

from __future__ import annotations

import logging
from typing import Final

from django_partisan import lifecycle
from django_partisan.config.const import NEVER
from django_partisan.config.wording import listed
from django_partisan.logs import say
from django_partisan.manager.claiming.queues import Queues
from django_partisan.manager.heartbeat import Heartbeat

logger = logging.getLogger(__name__)
LOOK_SECONDS: Final = 2.0
"""How often to look which queues there are: an announcement tells sooner of a new one."""


class Discovery:
    """Looks for queues that have come into being, and writes to the manager's row what it serves.

    It has nothing to do where the queues were named.
    """

    def __init__(self, queues: Queues, heartbeat: Heartbeat) -> None:
        self._queues = queues
        self._heartbeat = heartbeat
        self._look_at = 0.0

    def next_deadline(self) -> float:
        """Return when to look next, or at once where a queue was announced."""
        if not self._queues.choice.has_all or self._heartbeat.manager_id is None:
            return NEVER
        return self._look_at if self._heartbeat.queue_names == self._queues.names else 0.0

    def turn(self, now: float) -> None:
        """Look if it is time to, and tell of what is new."""
        if now < self.next_deadline():
            return
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._queues.found(lifecycle.queue_names(), now)
        names = self._queues.names
        told = self._heartbeat.queue_names
        if names != told:
            self._heartbeat.tell_queues(names)
            if new := [repr(name) for name in names if name not in told]:
                say(logger, "it serves from now on as well: %s", listed(new))
