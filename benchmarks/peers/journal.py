"""Shared memory in which each task counts its runs and notes when it began to run."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections import Counter
from functools import cache
from pathlib import Path

JOURNAL_VARIABLE = "PEER_JOURNAL"
WORK_VARIABLE = "PEER_WORK_SECONDS"
_STAMP = struct.Struct("<Q")
_BYTES_PER_TASK = 1 + _STAMP.size


class Journal:
    """A file with a counter of one byte for each task, and then a moment of 8 bytes for each."""

    def __init__(self, path: Path) -> None:
        self.tasks = path.stat().st_size // _BYTES_PER_TASK
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    @staticmethod
    def create(path: Path, tasks: int) -> None:
        """Make the file of a journal of so many tasks, none of which has run."""
        path.touch()
        os.truncate(path, tasks * _BYTES_PER_TASK)

    def mark(self, number: int) -> None:
        """Count one run of a task that begins now."""
        now = time.monotonic_ns()
        _STAMP.pack_into(self._memory, self.tasks + number * _STAMP.size, now)
        self._memory[number] += 1

    def moment(self, number: int) -> int:
        """Return when a task began, in nanoseconds of the system's monotonic clock; 0: not yet."""
        moment: int = _STAMP.unpack_from(self._memory, self.tasks + number * _STAMP.size)[0]
        return moment

    def moments(self) -> list[int]:
        """Return the moments of all tasks in the order of their numbers."""
        return [self.moment(number) for number in range(self.tasks)]

    def has_run(self, tasks: int) -> bool:
        """Say whether each of the first ``tasks`` tasks has begun."""
        return self._memory.find(b"\0", 0, tasks) == -1

    def runs(self, tasks: int) -> Counter[int]:
        """Return how many of the first tasks ran how often: ``{1: 10_000}`` when each ran once."""
        return Counter(self._memory[:tasks])


def mark(number: int) -> int:
    """Do the work of the task that every queue is measured with; return its number.

    That is a note in the journal, and then as much computing as the environment says.
    """
    own_journal().mark(number)
    seconds = _work_seconds()
    if seconds:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
    return number


@cache
def own_journal() -> Journal:
    """Return the journal that the environment names."""
    return Journal(Path(os.environ[JOURNAL_VARIABLE]))


@cache
def _work_seconds() -> float:
    return float(os.environ.get(WORK_VARIABLE, "0"))
