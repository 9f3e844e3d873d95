"""How many tasks a worker is handed together, and which: what fits into a moment of its time."""

from __future__ import annotations

from collections.abc import Callable

from django_partisan.attempt import ClaimedTask
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.pool.worker_handle import WorkerHandle
from django_partisan.manager.runtimes import CHUNK_SECONDS, CHUNK_TASKS, Runtimes

Chunk = list[tuple[ClaimedTask, float | None]]
"""Tasks with the seconds that each may take; None for one that has the worker to itself."""


class Chunks:
    """Takes chunks from the local queue, by the runtimes of those that have ended.

    ``prove_start`` is asked before a task is handed out that was rescued before.
    """

    def __init__(self, runtimes: Runtimes, prove_start: Callable[[ClaimedTask], bool]) -> None:
        self._runtimes = runtimes
        self._prove_start = prove_start

    def next(self, worker: WorkerHandle, queue: LocalQueue, workers: int) -> Chunk:
        """Take what one of so many workers should be handed now; nothing when it has enough."""
        room = _room(worker, queue, workers)
        backlog = worker.backlog_seconds
        chunk: Chunk = []
        while len(chunk) < room and (task := queue.peek()) is not None:
            seconds = None if task.rescues else self._runtimes.seconds(task.processor_class)
            if seconds is None:
                if chunk or worker.in_hand:
                    break
                queue.get()
                has_started = not task.rescues or self._prove_start(task)
                return [(task, None)] if has_started else []
            backlog += seconds
            if chunk and backlog > CHUNK_SECONDS:
                break
            chunk.append((queue.get(), seconds))
        return chunk


def _room(worker: WorkerHandle, queue: LocalQueue, workers: int) -> int:
    """Return how many more tasks the worker may get: few at a time, but never none in hand."""
    has = len(worker.in_hand)
    if has and (worker.is_exclusive or has > CHUNK_TASKS // 2 or worker.has_enough):
        return 0
    fair_share = -(-(queue.qsize() + has) // max(1, workers))
    return min(CHUNK_TASKS, max(1, fair_share)) - has
