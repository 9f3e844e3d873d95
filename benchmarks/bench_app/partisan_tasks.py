"""Tasks that do as good as nothing, so that a measure shows the engine's own cost."""

from __future__ import annotations

import mmap
import os
import time
from functools import cache
from pathlib import Path

from benchmarks.tally import TALLY_VARIABLE
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import register


def count_run(number: int) -> None:
    """Add one to the byte of shared memory that counts how often this task ran."""
    _tally()[number] += 1


@register
class Noop(BaseTaskProcessor):
    """Counts in shared memory that it ran: one byte for each task."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> None:
        """Count the run of the task whose number is the argument."""
        count_run(self.args[0])


@register
class UniqueNoop(Noop):
    """The same with uniqueness, which is what a processor class gets when it says nothing."""

    UNIQUE_FOR_PARAMS = True


@register
class Nap(Noop):
    """Takes five milliseconds in which it needs no CPU."""

    def run(self) -> None:
        """Wait, and count."""
        time.sleep(0.005)
        super().run()


@register
class Compute(UniqueNoop):
    """Takes five milliseconds of a CPU."""

    def run(self) -> None:
        """Compute, and count."""
        end = time.thread_time() + 0.005
        while time.thread_time() < end:
            pass
        super().run()


@register
class Stamp(BaseTaskProcessor):
    """Tells when it began to run."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> int:
        """Return the time in nanoseconds since 1970."""
        return time.time_ns()


@cache
def _tally() -> mmap.mmap:
    with Path(os.environ[TALLY_VARIABLE]).open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)
