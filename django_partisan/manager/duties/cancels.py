"""When a manager looks for requests to stop its tasks, and what it does about them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from django_partisan import lifecycle
from django_partisan.config.const import NEVER
from django_partisan.manager.claiming.listener import Listener
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.pool.hard_limits import HardLimits
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.manager.round_trip import RoundTrip

LOOK_SECONDS: Final = 1.0
"""How often to look while notifications may be missed, or do not reach the manager at all."""


class Cancels:
    """Stops tasks in hand whose end somebody has asked for.

    It looks when it is told to, and once a second while there are tasks: one statement over the
    index of what is in process.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        pool: WorkerPool,
        hard_limits: HardLimits,
        listener: Listener,
        round_trip: RoundTrip,
        follow: Callable[[Collection[int]], None],
    ) -> None:
        """``follow`` is told each time which tasks somebody follows: it is asked along with it."""
        self._heartbeat = heartbeat
        self._pool = pool
        self._hard_limits = hard_limits
        self._listener = listener
        self._round_trip = round_trip
        self._follow = follow
        self._look_at = 0.0

    def turn(self, now: float) -> None:
        """Look if it is time to; raises the database's error and then looks again."""
        if now < self.next_deadline() or self._heartbeat.manager_id is None:
            return
        leases = lifecycle.requests_to(self._heartbeat.manager_id)
        self._follow(leases.followed)
        self._listener.may_have_cancels = False
        self._look_at = now + LOOK_SECONDS
        if leases:
            self._round_trip.release(self._hard_limits.cancel(leases, now))

    def next_deadline(self) -> float:
        """Return when to look next; NEVER while there is nothing to stop."""
        if self._heartbeat.manager_id is None or not (
            self._pool.in_hand or self._round_trip.queue.qsize()
        ):
            return NEVER
        return 0.0 if self._listener.may_have_cancels else self._look_at
