"""Output: what it costs to print a lot, and how soon whoever follows sees a line."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Final, Self

import psutil
from django.db.models import Max
from django.db.models.functions import Length

from benchmarks.bench_app.long_tasks import Print, PrintInC, PrintTime
from benchmarks.engine import Engine, running_engine, wait_until_serving
from benchmarks.figures import Figure, Target
from benchmarks.measure import Scale
from benchmarks.rows import clear
from django_partisan.models import Output, Task

GROWTH_TARGET: Final = Target(2, is_maximum=True)
KEPT_TARGET: Final = Target(257, is_maximum=True)
SEEN_TARGET: Final = Target(1_500, is_maximum=True)
SPEED_TARGET: Final = Target(200, is_maximum=False)
_LOCKED_KIB: Final = 10_240
_SAMPLE_SECONDS: Final = 0.05
_LINES: Final = 12


def measure(scale: Scale) -> Iterator[Figure]:
    """Have one task print a lot, one by C, and one whose lines are followed."""
    clear()
    with running_engine() as engine:
        wait_until_serving(engine)
        _ended(engine, Print(64).delay())  # The first one makes room for what every one needs.
        with _Growth(engine.processes[0]) as growth:
            seconds = _seconds(engine, Print(scale.printed_mib * 1_024).delay())
        title = f"a task prints {scale.printed_mib:,} MiB"
        yield Figure.of_runs(title, [scale.printed_mib / seconds], "MiB/s", SPEED_TARGET)
        yield Figure.of_runs(f"{title}: the manager grows by", [growth.mib], "MiB", GROWTH_TARGET)
        yield Figure.of_runs(f"{title}: kept", [_kept_kib()], "KiB", KEPT_TARGET)
        seconds = _seconds(engine, PrintInC(_LOCKED_KIB).delay())
        yield Figure.of_runs("10 MiB printed by C with Python's lock held", [seconds], "s")
        waits = list(_waits(PrintTime(_LINES).delay()))
        yield Figure.of_runs("a line printed until a follower has it", waits, "ms", SEEN_TARGET)


class _Growth:
    """By how many MiB a process has grown at most while the block ran."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._before = self._most = process.memory_info().rss
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def mib(self) -> float:
        return (self._most - self._before) / 2**20

    def _look(self) -> None:
        while not self._is_over.wait(_SAMPLE_SECONDS):
            self._most = max(self._most, self._process.memory_info().rss)


def _seconds(engine: Engine, task: Task) -> float:
    seconds: Any = _ended(engine, task).result
    return float(seconds)


def _ended(engine: Engine, task: Task) -> Task:
    def is_finished() -> bool:
        task.refresh_from_db()
        return task.status == Task.STATUS_FINISHED

    engine.wait_until(is_finished, "the end of a task that prints", seconds=300)
    return task


def _kept_kib() -> float:
    sizes = Output.objects.annotate(size=Length("head") + Length("tail"))
    return float(sizes.aggregate(most=Max("size"))["most"]) / 1_024


def _waits(task: Task) -> Iterator[float]:
    """Yield how many milliseconds each line took that was printed while somebody followed."""
    began = time.time_ns()
    for text in task.follow_log():
        seen = time.time_ns()
        for line in text.split():
            if int(line) > began:
                yield (seen - int(line)) / 1_000_000
