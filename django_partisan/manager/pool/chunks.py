"""Chunks: the tasks that a worker is handed together, sized by their runtimes."""

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

    def next(
        self, worker: WorkerHandle, queue: LocalQueue, workers: int, most: int = CHUNK_TASKS
    ) -> Chunk:
        """Take what one of so many workers should be handed now; nothing when it has enough.

        It is no more than ``most`` tasks.
        """
        room, first = min(most, _room(worker, queue, workers)), queue.peek()
        if not room or first is None:
            return []
        if self._seconds(first) is None:
            return [] if worker.in_hand else self._alone(queue)
        return self._together(queue, room, worker.backlog_seconds)

    def _alone(self, queue: LocalQueue) -> Chunk:
        """Take a task that may take long, or that was rescued before, in a chunk of its own."""
        task = queue.get()
        may_run = not task.rescues or self._prove_start(task)
        return [(task, None)] if may_run else []

    def _together(self, queue: LocalQueue, room: int, backlog: float) -> Chunk:
        """Take quick tasks, as many as fit into a moment; one at least."""
        chunk: Chunk = []
        while len(chunk) < room and (task := queue.peek()) is not None:
            seconds = self._seconds(task)
            if seconds is None or (chunk and backlog + seconds > CHUNK_SECONDS):
                break
            backlog += seconds
            chunk.append((queue.get(), seconds))
        return chunk

    def _seconds(self, task: ClaimedTask) -> float | None:
        """Return how long a task is likely to take; None for one that has the worker to itself."""
        return None if task.rescues else self._runtimes.seconds(task.processor_class)


def _room(worker: WorkerHandle, queue: LocalQueue, workers: int) -> int:
    """Return how many more tasks the worker may get: few at a time, but never none in hand."""
    has = len(worker.in_hand)
    if has and (worker.is_exclusive or has > CHUNK_TASKS // 2 or worker.has_enough):
        return 0
    fair_share = -(-(queue.qsize() + has) // max(1, workers))
    return min(CHUNK_TASKS, max(1, fair_share)) - has
