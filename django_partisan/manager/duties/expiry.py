"""Ending tasks in hand that have not started in time."""

from __future__ import annotations

from django_partisan.attempt import EXPIRED, ClaimedTask
from django_partisan.lifecycle.transitions import orphan_outcome
from django_partisan.manager.pool.hard_limits import HardLimits
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.manager.round_trip import RoundTrip


class Expiring:
    """Has no task start after its ``expires_at``, whether it waits here or behind one that runs.

    A claim has looked before; this is for what passes between the claim and the start.
    """

    def __init__(self, pool: WorkerPool, hard_limits: HardLimits, round_trip: RoundTrip) -> None:
        self._pool = pool
        self._hard_limits = hard_limits
        self._round_trip = round_trip
        self._queue = round_trip.queue
        self._deadlines = round_trip.queue.deadlines

    def next_deadline(self) -> float:
        """Return when the next task expires."""
        return self._deadlines.next()

    def turn(self, now: float) -> None:
        """Take back what has expired, and have it recorded as cancelled, uncharged."""
        if self._deadlines.is_too_long(self._pool.in_hand + self._queue.qsize()):
            self._deadlines.keep(self._pool.held_ids() | self._queue.ids())
        if now < self._deadlines.next():
            return
        leases = self._deadlines.passed(now)

        def is_wanted(task: ClaimedTask) -> bool:
            return leases.get(task.id) == task.lease

        for task in self._hard_limits.unstarted(is_wanted):
            self._round_trip.ended(task, orphan_outcome(task, EXPIRED, None))
