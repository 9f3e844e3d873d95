"""The local queue: tasks that the manager has claimed and no worker has been handed yet."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django_partisan.attempt import ClaimedTask


class LocalQueue:
    """Tasks in the order they should run: orphans and returned ones first, then by priority.

    It lives in the manager alone. Each worker has a pipe of its own, so there is no lock that a
    worker could die holding; with one shared multiprocessing queue there is.
    """

    def __init__(self) -> None:
        self._first: deque[ClaimedTask] = deque()
        self._ready: list[tuple[int, Any, int, float, ClaimedTask]] = []

    def qsize(self) -> int:
        """Return how many tasks wait here."""
        return len(self._first) + len(self._ready)

    def put(self, tasks: Iterable[ClaimedTask], now: float) -> None:
        """Add claimed tasks; ``now`` (monotonic) is when their time to live here starts."""
        for task in tasks:
            heapq.heappush(self._ready, (task.priority, task.due, task.id, now, task))

    def put_first(self, tasks: Iterable[ClaimedTask]) -> None:
        """Add tasks that go before all others: orphans, and what a worker did not get to."""
        self._first.extend(tasks)

    def peek(self) -> ClaimedTask | None:
        """Return the next task without taking it, None when there is none."""
        if self._first:
            return self._first[0]
        return self._ready[0][-1] if self._ready else None

    def get(self) -> ClaimedTask:
        """Take the next task; raise IndexError when there is none."""
        return self._first.popleft() if self._first else heapq.heappop(self._ready)[-1]

    def take_all(self) -> list[ClaimedTask]:
        """Take everything, in order."""
        return [self.get() for _ in range(self.qsize())]

    def take(self, is_wanted: Callable[[ClaimedTask], bool]) -> list[ClaimedTask]:
        """Take the tasks for which ``is_wanted`` holds."""
        taken = [task for task in self._tasks() if is_wanted(task)]
        if taken:
            self._first = deque(task for task in self._first if not is_wanted(task))
            self._ready = [entry for entry in self._ready if not is_wanted(entry[-1])]
            heapq.heapify(self._ready)
        return taken

    def take_older_than(self, moment: float) -> list[ClaimedTask]:
        """Take the tasks that were claimed before a moment and still wait."""
        old = [entry[-1] for entry in self._ready if entry[3] < moment]
        if old:
            self._ready = [entry for entry in self._ready if entry[3] >= moment]
            heapq.heapify(self._ready)
        return old

    def ids(self) -> set[int]:
        """Return the ids of all tasks that wait here."""
        return {task.id for task in self._tasks()}

    def _tasks(self) -> Iterator[ClaimedTask]:
        yield from self._first
        for entry in self._ready:
            yield entry[-1]
