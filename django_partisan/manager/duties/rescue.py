"""Rescuing the orphans of dead managers."""

from __future__ import annotations

import logging
from typing import Final

from django.db.models import Q

from django_partisan import lifecycle
from django_partisan.config.const import NEVER
from django_partisan.config.wording import counted
from django_partisan.lifecycle import managers
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.standing import Standing
from django_partisan.settings import ProcessSettings

logger = logging.getLogger(__name__)
RESCUE_BATCH: Final = 500
"""Orphans that one statement gives back."""
_RESCUED: Final = "The manager that held the task gave no sign of life any more."


class Rescue:
    """Gives orphans of dead managers back to their queues, whoever's queues these are.

    After an outage everybody's last beat is old, so nobody is judged by it before one's own beats
    have gone on without a break for PARTISAN_DEAD_AFTER_SECONDS.
    """

    def __init__(self, heartbeat: Heartbeat, standing: Standing, settings: ProcessSettings) -> None:
        self._heartbeat = heartbeat
        self._standing = standing
        self._settings = settings
        self._at = 0.0

    def next_deadline(self) -> float:
        """Return when the next rescue is due; NEVER while a beat has told of no orphans."""
        if self._standing.is_stopping or not self._heartbeat.has_orphans:
            return NEVER
        return max(self._at, self._heartbeat.unbroken_since + self._settings.DEAD_AFTER_SECONDS)

    def turn(self, now: float) -> None:
        """Give back a batch of orphans, and remove the rows of dead managers that hold no more."""
        if now < self.next_deadline():
            return
        dead_after = self._settings.DEAD_AFTER_SECONDS
        self._at = now + self._settings.RESCUE_INTERVAL_SECONDS
        moved = give_back(managers.orphans(dead_after), self._settings.MAX_RESCUES)
        self._heartbeat.has_orphans = moved == RESCUE_BATCH
        if self._heartbeat.has_orphans:
            self._at = now
        managers.forget_dead(dead_after)


def give_back(orphans: Q, max_rescues: int) -> int:
    """Give up to a batch of orphans back to their queues; return how many."""
    moved = lifecycle.rescue(orphans, limit=RESCUE_BATCH, max_rescues=max_rescues, reason=_RESCUED)
    if moved:
        logger.warning("rescued %s whose manager is gone", counted(len(moved), "task"))
    return len(moved)
