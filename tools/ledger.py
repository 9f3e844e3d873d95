"""The ledger: how often each task of a run has run, and the rule that all tasks are held to.

It needs nothing but Python, because the tasks of other queues note their runs in it as well.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

LEDGER_VARIABLE: Final = "PARTISAN_LEDGER"
TERMINAL: Final = frozenset({"finished", "error", "cancelled"})
_PAGE: Final = 1 << 16
_MOMENT: Final = struct.Struct("<Q")
_BYTES_PER_TASK: Final = 1 + _MOMENT.size


# ----- what the tasks note -----


class Runs:
    """A file in memory with a counter of one byte for each task, then a moment for each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tasks = path.stat().st_size // _BYTES_PER_TASK
        self._full = 0
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    @classmethod
    def create(cls, tasks: int) -> Self:
        """Make the file for so many tasks; processes started in its block find it."""
        descriptor, name = tempfile.mkstemp(prefix="partisan-ledger-")
        os.truncate(descriptor, tasks * _BYTES_PER_TASK)
        os.close(descriptor)
        return cls(Path(name))

    def __enter__(self) -> Self:
        os.environ[LEDGER_VARIABLE] = str(self.path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del os.environ[LEDGER_VARIABLE]
        self.path.unlink()

    def count(self, number: int) -> None:
        """Count one run of a task."""
        self._memory[number] += 1

    def mark(self, number: int) -> None:
        """Count one run of a task that begins now."""
        _MOMENT.pack_into(self._memory, self._place(number), time.monotonic_ns())
        self.count(number)

    def moment(self, number: int) -> int:
        """Return when a task began, in nanoseconds of the system's monotonic clock; 0: not yet."""
        moment: int = _MOMENT.unpack_from(self._memory, self._place(number))[0]
        return moment

    def of(self, number: int) -> int:
        """Return how often a task has run."""
        return self._memory[number]

    def times(self, tasks: int | None = None) -> Counter[int]:
        """Return how many of the first tasks ran how often: ``{1: 10_000}`` when each ran once."""
        return Counter(self._memory[: self.tasks if tasks is None else tasks])

    def have_all_run(self, tasks: int) -> bool:
        """Say whether each of the first ``tasks`` tasks has begun."""
        return self._memory.find(b"\0", 0, tasks) == -1

    def ran(self) -> int:
        """Return how many tasks have run so far: no query, so asking disturbs no measure.

        Skips where all have run, and ends after that where none has: tasks run nearly in order.
        """
        count = offset = self._full
        while page := self._memory[offset : min(offset + _PAGE, self.tasks)]:
            done = len(page) - page.count(0)
            if count and not done:
                break
            if done == _PAGE and offset == self._full:
                self._full = offset + _PAGE
            count += done
            offset += _PAGE
        return count

    def _place(self, number: int) -> int:
        return self.tasks + number * _MOMENT.size


@cache
def own_runs() -> Runs:
    """Return what the environment names: the file in which this process's tasks count."""
    return Runs(Path(os.environ[LEDGER_VARIABLE]))


# ----- the rule -----


class Broken(Enum):
    """The ways in which the rule can be broken."""

    LOST = "lost"
    STUCK = "stuck"
    STALE = "stale writes"
    COUNTED_WRONG = "counted wrong"
    LEFT = "left behind"


class Problem(NamedTuple):
    """One thing that breaks the rule."""

    kind: Broken
    text: str


class Account(NamedTuple):
    """What is stored of a task in the end."""

    name: str
    status: str
    lease: int
    attempts: int
    retries: int
    postpones: int
    rescues: int
    crashes: int


def lost(enqueued: Iterable[int], seen: Collection[int]) -> Iterator[Problem]:
    """Yield the tasks of which nothing is left to see."""
    for task in enqueued:
        if task not in seen:
            yield Problem(Broken.LOST, f"task {task} is lost")


def doubled(counts: Mapping[Any, int], what: str) -> Iterator[Problem]:
    """Yield what happened more than once to one task, or to one task under one lease."""
    for task, count in counts.items():
        if count > 1:
            name, *lease = task if isinstance(task, tuple) else (task,)
            under = "".join(f" under lease {number}" for number in lease)
            yield Problem(Broken.STALE, f"task {name} {what} {count} times{under}")


def wrong(account: Account, runs: int, *, may_wait: bool = False) -> Iterator[Problem]:
    """Yield what cannot be true of a task that began ``runs`` times, when nothing runs any more."""
    if account.status not in TERMINAL and not may_wait:
        yield Problem(Broken.STUCK, f"{account.name} has no end: {account}")
    if account.status == "in_process":
        yield Problem(Broken.STUCK, f"{account.name} is in process without a live manager")
    if account.attempts > 1 + account.retries + account.crashes:
        yield Problem(Broken.COUNTED_WRONG, f"{account.name} was charged too much: {account}")
    if runs > account.lease:
        yield Problem(Broken.COUNTED_WRONG, f"{account.name} ran {runs} times: {account}")


def not_once(times: Mapping[int, int], *, recorded: int, astray: int = 0) -> Iterator[Problem]:
    """Yield what is wrong unless each task that ran did so once, and was recorded.

    For runs of so many tasks that they are counted in place of being looked at one by one:
    ``recorded`` have ended as they should, ``astray`` have not ended or in another way.
    """
    for often, tasks in times.items():
        if often > 1:
            yield Problem(Broken.STALE, f"{tasks} tasks ran {often} times")
    once = times.get(1, 0)
    if recorded > once:
        yield Problem(Broken.LOST, f"{recorded} tasks should have run once, {once} did")
    elif recorded < once:
        yield Problem(Broken.LOST, f"{once} tasks ran once, {recorded} of them are recorded")
    if astray:
        yield Problem(Broken.STUCK, f"{astray} tasks are in process or in error")
