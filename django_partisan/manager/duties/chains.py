"""Continuing chains of repeats that managers of earlier versions have let end."""

from __future__ import annotations

from typing import Final

from django_partisan import lifecycle
from django_partisan.config.const import NEVER
from django_partisan.lifecycle.repeats import TAKE_UP_BATCH
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.standing import Standing

_INTERVAL_SECONDS: Final = 60.0


class Chains:
    """Looks for links that have finished and have no follower: whoever recorded them knew of none.

    At the manager's start, once a minute while it has peers, and once more after that.
    """

    def __init__(self, heartbeat: Heartbeat, standing: Standing) -> None:
        self._heartbeat = heartbeat
        self._standing = standing
        self._had_peers = True
        self._next_at = 0.0

    def next_deadline(self) -> float:
        """Return when to look next; NEVER while no work may be begun, or nobody leaves any."""
        if not self._standing.may_begin_work:
            return NEVER
        return self._next_at if self._had_peers or self._heartbeat.has_peers else NEVER

    def turn(self, now: float) -> None:
        """Continue a batch of chains, if it is time."""
        if now < self.next_deadline():
            return
        self._had_peers = self._heartbeat.has_peers
        is_full = lifecycle.take_up() == TAKE_UP_BATCH
        self._next_at = now if is_full else now + _INTERVAL_SECONDS
