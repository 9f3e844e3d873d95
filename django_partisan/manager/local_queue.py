"""The local queue: tasks that the manager has claimed and no worker has been handed yet."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final, Protocol

from django_partisan.attempt import ClaimedTask
from django_partisan.manager.deadlines import Deadlines

_Entry = tuple[int, Any, int, float, ClaimedTask]
_AGELESS: Final = float("inf")


class Turns(Protocol):
    """Decides which of several queues is next: see :mod:`django_partisan.manager.stride`."""

    def first(self, queue_names: Collection[str]) -> str:
        """Return the queue that is next; all of these have tasks that wait here."""

    def handed_out(self, task: ClaimedTask) -> None:
        """Take note that a task goes to a worker."""

    def returned(self, task: ClaimedTask) -> None:
        """Take note that a task has come back which had not started."""


class LocalQueue:
    """Tasks in the order they should run: orphans and returned ones first, then by priority.

    Of several queues ``turns`` decides which one is next; by priority goes what is of one queue.

    It lives in the manager alone. Each worker has a pipe of its own, so there is no lock that a
    worker could die holding; with one shared multiprocessing queue there is.
    """

    def __init__(self, turns: Turns | None = None) -> None:
        self._turns = turns
        self._first: deque[ClaimedTask] = deque()
        self._ready: dict[str, list[_Entry]] = {}  # no list is empty
        self._aside: deque[tuple[float, ClaimedTask]] = deque()
        self._size = 0
        self._next: list[_Entry] | None = None
        self.deadlines = Deadlines()
        """Of all tasks that have been here and may still be in a worker's hand."""

    def qsize(self) -> int:
        """Return how many tasks wait here."""
        return self._size

    def waiting(self, queue_name: str) -> int:
        """Return how many tasks of a queue wait here, without those that go before all others."""
        return len(self._ready.get(queue_name, ()))

    def queue_names(self) -> Collection[str]:
        """Return the queues of which tasks wait here, without those that go before all others."""
        return self._ready.keys()

    def put(self, tasks: Iterable[ClaimedTask], now: float) -> None:
        """Add claimed tasks; ``now`` (monotonic) is when their time to live here starts."""
        for task in tasks:
            lane = self._ready.get(task.queue_name)
            if lane is None:
                lane = self._ready[task.queue_name] = []
            heapq.heappush(lane, (task.priority, task.due, task.id, now, task))
            self._size += 1
            if task.starts_by is not None:
                self.deadlines.add(task)
        self._next = None

    def put_first(self, tasks: Iterable[ClaimedTask]) -> None:
        """Add tasks that go before all others: orphans, and what a worker did not get to."""
        for task in tasks:
            self._first.append(task)
            self._size += 1
            if task.starts_by is not None:
                self.deadlines.add(task)
            if self._turns is not None:
                self._turns.returned(task)

    def peek(self) -> ClaimedTask | None:
        """Return the next task without taking it, None when there is none."""
        if self._first:
            return self._first[0]
        return self._lane()[0][-1] if self._ready else None

    def get(self) -> ClaimedTask:
        """Take the next task; raise IndexError when there is none."""
        task = self._first.popleft() if self._first else self._pop()
        self._size -= 1
        if self._turns is not None:
            self._turns.handed_out(task)
            self._next = None
        return task

    @property
    def aside(self) -> int:
        """How many tasks have been set aside."""
        return len(self._aside)

    def set_aside(self) -> None:
        """Set the next task aside, to let others pass it; raise IndexError when there is none."""
        if self._first:
            self._aside.append((_AGELESS, self._first.popleft()))
        else:
            entry = self._pop_entry()
            self._aside.append((entry[3], entry[-1]))
        self._next = None

    def get_aside(self) -> ClaimedTask:
        """Take the first task that was set aside; raise IndexError when there is none."""
        task = self._aside.popleft()[-1]
        self._size -= 1
        if self._turns is not None:
            self._turns.handed_out(task)
        return task

    def take_all(self) -> list[ClaimedTask]:
        """Take everything, in order."""
        aside = [self.get_aside() for _ in range(self.aside)]
        return aside + [self.get() for _ in range(self.qsize())]

    def take(self, is_wanted: Callable[[ClaimedTask], bool]) -> list[ClaimedTask]:
        """Take the tasks for which ``is_wanted`` holds."""
        taken = [task for task in self._tasks() if is_wanted(task)]
        if taken:
            self._first = deque(task for task in self._first if not is_wanted(task))
            self._aside = deque(entry for entry in self._aside if not is_wanted(entry[-1]))
            self._keep(lambda entry: not is_wanted(entry[-1]))
        return taken

    def take_older_than(self, moment: float) -> list[ClaimedTask]:
        """Take the tasks that were claimed before a moment and still wait."""
        old = [entry[-1] for lane in self._ready.values() for entry in lane if entry[3] < moment]
        old += [task for since, task in self._aside if since < moment]
        if old:
            self._aside = deque(entry for entry in self._aside if entry[0] >= moment)
            self._keep(lambda entry: entry[3] >= moment)
        return old

    def ids(self) -> set[int]:
        """Return the ids of all tasks that wait here."""
        return {task.id for task in self._tasks()}

    def _pop(self) -> ClaimedTask:
        lane = self._lane()
        task = heapq.heappop(lane)[-1]
        if not lane:
            del self._ready[task.queue_name]
            self._next = None
        return task

    def _pop_entry(self) -> _Entry:
        entry = self._lane()[0]
        self._pop()
        return entry

    def _lane(self) -> list[_Entry]:
        """Return the tasks of the queue that is next; raise IndexError when there is none."""
        if self._next is None:
            if not self._ready:
                raise IndexError("no task waits here")
            names = self._ready.keys()
            name = next(iter(names)) if self._turns is None else self._turns.first(names)
            self._next = self._ready[name]
        return self._next

    def _keep(self, is_kept: Callable[[_Entry], bool]) -> None:
        kept = {name: [e for e in lane if is_kept(e)] for name, lane in self._ready.items()}
        self._ready = {name: lane for name, lane in kept.items() if lane}
        for lane in self._ready.values():
            heapq.heapify(lane)
        waiting = sum(map(len, self._ready.values()))
        self._size = len(self._first) + len(self._aside) + waiting
        self._next = None

    def _tasks(self) -> Iterator[ClaimedTask]:
        yield from self._first
        for _, task in self._aside:
            yield task
        for lane in self._ready.values():
            for entry in lane:
                yield entry[-1]
