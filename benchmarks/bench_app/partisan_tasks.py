"""The tasks that are measured: most do as good as nothing, and show the engine's own cost."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from benchmarks.bench_app.apps import BenchAppConfig
from benchmarks.bench_app.models import read_and_write
from benchmarks.peers.drivers import work
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import register
from tools.ledger import own_runs


@register
class Noop(BaseTaskProcessor):
    """Counts in shared memory that it ran: its argument is its number."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> Any:
        """Count."""
        own_runs().count(self.args[0])


@register
class UniqueNoop(Noop):
    """The same with uniqueness, which is what a processor class gets when it says nothing."""

    UNIQUE_FOR_PARAMS = True


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
class Sleep10(Noop):
    """Sleeps for ten milliseconds."""

    seconds: ClassVar[float] = 0.01

    def run(self) -> None:
        """Sleep, and count."""
        time.sleep(self.seconds)
        super().run()


@register
class Sleep100(Sleep10):
    """Sleeps for a hundred milliseconds."""

    seconds = 0.1


@register
class ReadAndWrite(UniqueNoop):
    """Reads and writes one row."""

    def run(self) -> bool:
        """Do so, and count; tell whether this worker tidies up."""
        read_and_write(self.args[0])
        own_runs().count(self.args[0])
        return BenchAppConfig.tidies


@register
class Stamp(BaseTaskProcessor):
    """Tells when it began to run."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> int:
        """Return the time in nanoseconds since 1970."""
        return time.time_ns()


@register
class Mark(BaseTaskProcessor):
    """Does what every queue is measured with; unique, as it says nothing."""

    def run(self) -> int:
        """Do the work."""
        return work(self.args[0])


@register
class FreeMark(Mark):
    """The same without uniqueness."""

    UNIQUE_FOR_PARAMS = False
