"""Handing tasks of the local queue out to the workers."""

from __future__ import annotations

from django_partisan.config.const import NEVER
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.manager.standing import Standing


class HandingOut:
    """Gives waiting tasks to workers, and takes them back from behind a slow one."""

    def __init__(self, queue: LocalQueue, pool: WorkerPool, standing: Standing) -> None:
        self._queue = queue
        self._pool = pool
        self._standing = standing
        self._rebalance_at = NEVER

    def next_deadline(self) -> float:
        """Return when a task can be handed out, or taken back from behind a slow one."""
        if self._standing.may_hand_out and self._queue.qsize() and self._pool.has_idle:
            return 0.0
        return self._rebalance_at

    def turn(self, now: float) -> None:
        """Hand out what the workers have room for."""
        self._rebalance_at = NEVER
        if self._standing.may_hand_out:
            self._pool.hand_out(self._queue, now)
            self._rebalance_at = self._pool.rebalance(self._queue, now)
