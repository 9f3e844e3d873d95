"""Hard limits: a worker whose cancelled or timed out task does not stop is killed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from django_partisan import execution
from django_partisan.attempt import ClaimedTask, Outcome
from django_partisan.config.const import DEFAULT_GRACE_SECONDS, NEVER
from django_partisan.exceptions import ProcessorClassNotFound
from django_partisan.logs import extra_of
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.pool.worker_handle import WorkerHandle
from django_partisan.registry.registry import registry

logger = logging.getLogger(__name__)


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
            has_any = any(is_wanted(item.task) for item in worker.in_hand)
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
            if worker.hard_limit is not None and now >= worker.hard_limit.kill_at:
                self._kill(worker)

    def next_deadline(self) -> float:
        """Return when :meth:`turn` may have something to do, NEVER when no task has a limit."""
        moments = (worker.hard_limit.kill_at for worker in self._limited() if worker.hard_limit)
        return min(moments, default=NEVER)

    def outcome(self, worker: WorkerHandle, task: ClaimedTask) -> Outcome | None:
        """Return how the task of a dead worker ended if it was killed here, otherwise None."""
        if not worker.is_over_limit or worker.hard_limit is None:
            return None
        _, error, started = worker.hard_limit
        return execution.killed_outcome(task, error, started)

    def _limited(self) -> list[WorkerHandle]:
        workers = self._pool.workers.values()
        return [worker for worker in workers if worker.hard_limit and not worker.is_over_limit]

    def _cancel_in_hand(
        self, worker: WorkerHandle, is_wanted: Callable[[ClaimedTask], bool], now: float
    ) -> list[ClaimedTask]:
        unstarted = self._left_alone(worker)
        self._queue.put_first(task for task in unstarted if not is_wanted(task))
        running = worker.running
        if running is not None and is_wanted(running):
            logger.info("task %d: stopping it, as asked for", running.id, extra=extra_of(running))
            worker.cancel(running, _grace_of(running), now)
        return [task for task in unstarted if is_wanted(task)]

    def _kill(self, worker: WorkerHandle) -> None:
        self._queue.put_first(self._left_alone(worker))
        if worker.hard_limit is not None:
            worker.kill_over_limit()

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
