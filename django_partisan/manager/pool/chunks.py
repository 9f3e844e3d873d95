"""Chunks: the tasks that a worker is handed together, sized by their runtimes."""

from __future__ import annotations

from collections.abc import Callable

from django_partisan.attempt import ClaimedTask
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.pool.sharing import Sharing
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
        return self._proven(queue.get())

    def _proven(self, task: ClaimedTask) -> Chunk:
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


class SharedChunks(Chunks):
    """Takes chunks where some tasks may be in a worker together.

    A worker has either tasks that share it or tasks of which each has it to itself. One of the
    latter that is next, while all workers are shared, is set aside: the next worker that is empty
    gets it before anything else. Up to half of the workers, those with the least in hand, are
    *saved* for such tasks: they get nothing more until they are empty. So the others go on.
    """

    def __init__(
        self, runtimes: Runtimes, prove_start: Callable[[ClaimedTask], bool], sharing: Sharing
    ) -> None:
        super().__init__(runtimes, prove_start)
        self._sharing = sharing
        self._saved: set[WorkerHandle] = set()

    def next(
        self, worker: WorkerHandle, queue: LocalQueue, workers: int, most: int = CHUNK_TASKS
    ) -> Chunk:
        """Take what one of so many workers should be handed now; nothing when it has enough."""
        if not most:
            return []
        if queue.aside:
            if not worker.in_hand:
                return self._proven(queue.get_aside())
        else:
            self._saved.clear()
        while worker not in self._saved and (first := queue.peek()) is not None:
            if self._sharing.places(first) > 1:
                return self._beside(worker, queue, workers, most)
            if not (worker.is_sharing and worker.in_hand):
                return super().next(worker, queue, workers, most)
            if queue.aside >= CHUNK_TASKS:
                break
            queue.set_aside()
            self._save(worker, min(queue.aside, max(1, workers // 2)))
        return []

    def _save(self, worker: WorkerHandle, most: int) -> None:
        self._saved = {each for each in self._saved if each.accepts}
        if len(self._saved) < most:
            self._saved.add(worker)

    def _seconds(self, task: ClaimedTask) -> float | None:
        return None if self._sharing.places(task) > 1 else super()._seconds(task)

    def _beside(self, worker: WorkerHandle, queue: LocalQueue, workers: int, most: int) -> Chunk:
        """Take tasks for all free places, and quick ones beyond, as many as fit into a moment."""
        if worker.in_hand and not worker.is_sharing:
            return []
        chunk: Chunk = []
        has, backlog = len(worker.in_hand), worker.backlog_seconds
        room = min(most, -(-queue.qsize() // max(1, workers)))  # Of what waits, a fair share.
        while len(chunk) < room and (task := queue.peek()) is not None:
            places = self._sharing.places(task)
            seconds = self._runtimes.seconds(task.processor_class)
            if places == 1 or (
                has + len(chunk) >= places
                and (seconds is None or backlog + seconds > CHUNK_SECONDS)
            ):
                break
            backlog += seconds or 0.0
            chunk.append((queue.get(), seconds))
        return chunk
