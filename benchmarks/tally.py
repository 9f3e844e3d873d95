"""Shared memory in which every run of a task is counted, to prove that each ran exactly once."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Final, Self

TALLY_VARIABLE = "PARTISAN_BENCH_TALLY"
_PAGE: Final = 1 << 16


class Tally:
    """A file with one byte for each task; processes started inside the block count in it."""

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks
        self._full = 0

    def __enter__(self) -> Self:
        self._descriptor, name = tempfile.mkstemp(prefix="partisan-bench-")
        self._path = Path(name)
        os.truncate(self._descriptor, self._tasks)
        os.environ[TALLY_VARIABLE] = name
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del os.environ[TALLY_VARIABLE]
        os.close(self._descriptor)
        self._path.unlink()

    def runs(self) -> Counter[int]:
        """Return how many tasks ran how often: ``{1: 10_000}`` when each ran exactly once."""
        return Counter(self.contents())

    def contents(self) -> bytes:
        """Return a byte for each task: how often it ran."""
        return self._path.read_bytes()

    def ran(self) -> int:
        """Return how many tasks have run so far: no query, so asking disturbs no measure.

        Skips where all have run, and ends after that where none has: tasks run nearly in order.
        """
        count = offset = self._full
        while page := os.pread(self._descriptor, _PAGE, offset):
            done = len(page) - page.count(0)
            if count and not done:
                break
            if done == _PAGE and offset == self._full:
                self._full += _PAGE
            count += done
            offset += _PAGE
        return count
