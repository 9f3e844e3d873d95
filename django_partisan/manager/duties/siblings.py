"""Rescuing at once what a manager of the same host leaves behind when it dies."""

from __future__ import annotations

from django_partisan.config.const import NEVER
from django_partisan.database import dialect_for
from django_partisan.lifecycle import managers
from django_partisan.lifecycle.rows import database
from django_partisan.manager.duties.rescue import RESCUE_BATCH, give_back
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.standing import Standing
from django_partisan.settings import ProcessSettings


class Siblings:
    """Looks with each beat for managers of this host whose process is certainly gone.

    What they held need not wait for PARTISAN_DEAD_AFTER_SECONDS. Whoever has been held for dead
    already has a successor, or is left to the rescue.
    """

    def __init__(self, heartbeat: Heartbeat, standing: Standing, settings: ProcessSettings) -> None:
        self._heartbeat = heartbeat
        self._standing = standing
        self._settings = settings
        self._is_alone = dialect_for(database()).has_one_manager
        self._looked_at = NEVER

    def next_deadline(self) -> float:
        """Return at once after each good beat that has told of peers.

        NEVER where a database has one manager only.
        """
        if self._is_alone or self._standing.is_stopping or self._heartbeat.manager_id is None:
            return NEVER
        if not self._heartbeat.has_peers:
            return NEVER
        return NEVER if self._looked_at == self._heartbeat.beaten_at else 0.0

    def turn(self, now: float) -> None:
        """Give a batch of what dead siblings held back, and forget those that hold no more."""
        if now < self.next_deadline():
            return
        assert self._heartbeat.manager_id is not None
        beaten_at = self._heartbeat.beaten_at
        dead = managers.dead_siblings(
            self._heartbeat.identity, self._heartbeat.manager_id, self._heartbeat.dead_after
        )
        moved = give_back(managers.orphans_of(dead), self._settings.MAX_RESCUES) if dead else 0
        managers.forget(dead)
        if moved < RESCUE_BATCH:
            self._looked_at = beaten_at
