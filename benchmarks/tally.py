"""Shared memory in which every run of a task is counted, to prove that each ran exactly once."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

TALLY_VARIABLE = "PARTISAN_BENCH_TALLY"


class Tally:
    """A file with one byte for each task; processes started inside the block count in it."""

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks

    def __enter__(self) -> Self:
        descriptor, name = tempfile.mkstemp(prefix="partisan-bench-")
        self._path = Path(name)
        os.truncate(descriptor, self._tasks)
        os.close(descriptor)
        os.environ[TALLY_VARIABLE] = name
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del os.environ[TALLY_VARIABLE]
        self._path.unlink()

    def runs(self) -> Counter[int]:
        """Return how many tasks ran how often: ``{1: 10_000}`` when each ran exactly once."""
        return Counter(self._path.read_bytes())
