"""Hard limits: a worker whose cancelled or timed out task does not stop is killed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from django_partisan import execution
from django_partisan.attempt import ORPHANED, RELEASED, ClaimedTask, Outcome
from django_partisan.config.const import DEFAULT_GRACE_SECONDS, NEVER
from django_partisan.exceptions import ProcessorClassNotFound, WorkerDied
from django_partisan.lifecycle.transitions import orphan_outcome
from django_partisan.logs import extra_of
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.pool.worker_handle import WorkerHandle
from django_partisan.registry.registry import registry

logger = logging.getLogger(__name__)
_BLOCKED: Final = (
    "worker {} was killed because others beside this task, which kept them from going on, were over"
    " their limits"
)


class Pool(Protocol):
    """The worker pool, as far as hard limits need it."""

    workers: dict[int, WorkerHandle]

    def receive(self, worker: WorkerHandle) -> None:
        """Take in what a worker has reported so far."""


class HardLimits:
    """Keeps the hard limits of workers: kills whoever is over, and says how their tasks ended.

    ``queue`` gets back what such a worker had in hand and had not started.
    """

    def __init__(self, pool: Pool, queue: LocalQueue) -> None:
        self._pool = pool
        self._queue = queue

    def cancel(self, leases: Mapping[int, int], now: float) -> list[ClaimedTask]:
        """Stop tasks, given by their leases by id; return those that had not started.

        Asking again for a task that is being stopped changes nothing.
        """

        def is_wanted(task: ClaimedTask) -> bool:
            return leases.get(task.id) == task.lease

        unstarted = self._queue.take(is_wanted)
        for worker in list(self._pool.workers.values()):
            has_any = any(
                is_wanted(item.task) and not worker.is_cancelled(item.task)
                for item in worker.in_hand
            )
            if has_any and not (worker.is_cancelling or worker.is_over_limit):
                unstarted += self._cancel_in_hand(worker, is_wanted, now)
        return unstarted

    def unstarted(self, is_wanted: Callable[[ClaimedTask], bool]) -> list[ClaimedTask]:
        """Take tasks from the local queue and from behind what runs; return them."""
        taken = self._queue.take(is_wanted)
        for worker in list(self._pool.workers.values()):
            if any(is_wanted(item.task) for item in worker.in_hand):
                unstarted = self._left_alone(worker)
                self._queue.put_first(task for task in unstarted if not is_wanted(task))
                taken += [task for task in unstarted if is_wanted(task)]
        return taken

    def turn(self, now: float) -> None:
        """Kill the workers whose task should have ended by now."""
        for worker in self._limited():
            kill_at = worker.kill_at
            if kill_at is not None and now >= kill_at:
                self._kill(worker, now)

    def next_deadline(self) -> float:
        """Return when :meth:`turn` may have something to do, NEVER when no task has a limit."""
        moments = (worker.drained_by or worker.kill_at for worker in self._limited())
        return min((moment for moment in moments if moment is not None), default=NEVER)

    def outcome(self, worker: WorkerHandle, task: ClaimedTask) -> Outcome | None:
        """Return how a task of a dead worker ended if it was killed here, otherwise None.

        Beside the task that was over its limit, all others are given back, uncharged. Where one has
        kept the others from going on, they are not to blame for being late, and that one runs
        alone next.
        """
        if not worker.is_over_limit:
            return None
        limit = worker.hard_limits.get(task.id)
        is_over = limit is not None and limit.kill_at <= worker.killed_at
        if worker.blocked_by not in (0, task.id):
            is_over = is_over and worker.is_cancelled(task)
        if limit is not None and is_over:
            return execution.killed_outcome(task, limit.error, limit.started)
        if worker.blocked_by == task.id:
            return orphan_outcome(task, ORPHANED, WorkerDied(_BLOCKED.format(worker.pid)))
        return orphan_outcome(task, RELEASED, None)

    def _limited(self) -> list[WorkerHandle]:
        workers = self._pool.workers.values()
        return [worker for worker in workers if worker.hard_limits and not worker.is_over_limit]

    def _cancel_in_hand(
        self, worker: WorkerHandle, is_wanted: Callable[[ClaimedTask], bool], now: float
    ) -> list[ClaimedTask]:
        unstarted = self._left_alone(worker)
        self._queue.put_first(task for task in unstarted if not is_wanted(task))
        # Of tasks that have a worker to themselves, only the one that runs is left.
        for running in [item.task for item in worker.in_hand if is_wanted(item.task)]:
            if not worker.is_cancelled(running):
                logger.info(
                    "task %d: stopping it, as asked for", running.id, extra=extra_of(running)
                )
                worker.cancel(running, _grace_of(running), now)
        return [task for task in unstarted if is_wanted(task)]

    def _kill(self, worker: WorkerHandle, now: float) -> None:
        self._queue.put_first(self._left_alone(worker))
        over = [limit for limit in worker.hard_limits.values() if limit.kill_at <= now]
        if not over:
            return
        if worker.drained_by is None:
            worker.drained_by = now + max(limit.grace for limit in over)
        # Those beside it have as long to end as it had to stop.
        if len(worker.in_hand) <= len(over) or now >= worker.drained_by:
            worker.kill_over_limit(now)

    def _left_alone(self, worker: WorkerHandle) -> list[ClaimedTask]:
        """Leave a worker nothing but the task that it certainly runs; return what it had besides.

        Without tokens it can start nothing, and what it has ended before is reported already.
        """
        unstarted = worker.take_back()
        self._pool.receive(worker)
        return unstarted


def _grace_of(task: ClaimedTask) -> float:
    try:
        processor_class = registry.get_processor_class_by_name(task.processor_class)
    except ProcessorClassNotFound:
        return DEFAULT_GRACE_SECONDS
    return float(processor_class.GRACE_SECONDS)
