"""Concurrency: tasks that wait, many at once in each of two workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks.bench_app.long_tasks import AsyncNoop, AsyncSleep, ThreadSleep
from benchmarks.bench_app.partisan_tasks import Noop
from benchmarks.drain import FEW_RUNS, drain
from benchmarks.figures import Figure, Target
from benchmarks.measure import Scale
from benchmarks.rows import Rows, clear, fill
from benchmarks.settings import CONCURRENCY_VARIABLE

ASYNC_TARGET: Final = Target(1.5, is_maximum=True)
THREADS_TARGET: Final = Target(2, is_maximum=True)
NOOP_TARGET: Final = Target(5_000, is_maximum=False)


def measure(scale: Scale) -> Iterator[Figure]:
    """Drain tasks that wait for 0.1 s, and as many as all others of those that do nothing."""
    runs, count = min(scale.runs, FEW_RUNS), scale.waiting_tasks
    seconds = [count / _rate(AsyncSleep, count, 100) for _ in range(runs)]
    title = f"{count:,} coroutines that wait for 0.1 s, 2 workers with 100 each"
    yield Figure.of_runs(title, seconds, "s", ASYNC_TARGET)
    seconds = [count / _rate(ThreadSleep, count, 50) for _ in range(runs)]
    title = f"{count:,} tasks that block for 0.1 s, 2 workers with 50 threads each"
    yield Figure.of_runs(title, seconds, "s", THREADS_TARGET)
    rates = [_rate(AsyncNoop, scale.tasks, 100) for _ in range(runs)]
    yield Figure.of_runs("coroutines that do nothing", rates, "tasks/s", NOOP_TARGET)


def _rate(processor: type[Noop], count: int, concurrency: int) -> float:
    clear()
    fill(Rows(count=count, processor=processor))
    return drain(count, environment={CONCURRENCY_VARIABLE: str(concurrency)})
