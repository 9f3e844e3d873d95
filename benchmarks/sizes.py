"""Drain at several sizes of the local queue: what MIN and MAX trade, by how long tasks take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks.bench_app.partisan_tasks import Nap, Noop, UniqueNoop
from benchmarks.drain import drain
from benchmarks.figures import Figure
from benchmarks.rows import Rows, clear, fill
from benchmarks.scale import Scale

SIZES: Final = (
    (2, 10),
    (5, 20),
    (20, 50),
    (50, 100),
    (150, 300),
    (350, 500),
    (700, 1000),
    (1500, 2000),
)
"""MIN and MAX; the first are the defaults of version 1, the last but one those of today."""
NAPS: Final = 20
"""A task of five milliseconds takes the time of so many of the others, or of more."""


def measure(scale: Scale) -> Iterator[Figure]:
    """Drain tasks that do nothing at each size in turn, ``scale.runs`` times, and then longer ones.

    Two workers cannot end more than 400 tasks of five milliseconds in a second.
    """
    yield from _measure(UniqueNoop, "drain", scale.tasks, scale.runs)
    yield from _measure(Nap, "drain of 5 ms tasks", max(1, scale.tasks // NAPS), 1)


def _measure(processor: type[Noop], name: str, tasks: int, runs: int) -> Iterator[Figure]:
    rates: dict[tuple[int, int], list[float]] = {size: [] for size in SIZES}
    for _ in range(runs):
        for least, most in SIZES:
            clear()
            fill(Rows(count=tasks, processor=processor))
            options = (f"--min_queue_size={least}", f"--max_queue_size={most}")
            rates[least, most].append(drain(tasks, *options))
    for (least, most), results in rates.items():
        yield Figure.of_runs(f"{name}, MIN {least} / MAX {most}", results, "tasks/s")
