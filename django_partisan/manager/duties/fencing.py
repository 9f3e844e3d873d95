"""Stopping what runs once other managers hold this one for dead."""

from __future__ import annotations

import logging

from django_partisan.config.const import NEVER
from django_partisan.manager.heartbeat import Fence, Heartbeat
from django_partisan.manager.standing import Standing

logger = logging.getLogger(__name__)


class Fencing:
    """Stops the work that peers may have begun to do instead, when the fence is shut."""

    def __init__(self, heartbeat: Heartbeat, standing: Standing) -> None:
        self._heartbeat = heartbeat
        self._standing = standing

    def next_deadline(self) -> float:
        """Return when the fence closes further unless a beat succeeds before."""
        return NEVER if self._heartbeat.manager_id is None else self._heartbeat.fence_at()

    def turn(self, now: float) -> None:  # noqa: ARG002 - the fence knows its own time
        """Give everything up if the fence is shut."""
        if self._heartbeat.manager_id is None or self._heartbeat.fence() is not Fence.SHUT:
            return
        logger.error(
            "no heartbeat for %g s: stopping what runs, as others hold this manager for dead",
            self._heartbeat.dead_after,
        )
        self._standing.abandon()
