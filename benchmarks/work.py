"""Work: tasks that compute for five milliseconds, and what it costs the manager to keep them going.

Such tasks are what most projects have. Two CPUs can do 400 of them in a second, without a manager
and without a database.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.bench_app.partisan_tasks import Compute
from benchmarks.drain import FEW_RUNS, check_once
from benchmarks.engine import cpu_seconds, running_engine
from benchmarks.figures import Figure
from benchmarks.measure import Scale
from benchmarks.rows import Rows, clear, fill
from tools.ledger import Runs


def measure(scale: Scale) -> Iterator[Figure]:
    """Have so many of them done, a few times; look at what lies between start and end."""
    found = [_run(scale.works) for _ in range(min(scale.runs, FEW_RUNS))]
    rates, costs = zip(*found, strict=True)
    yield Figure.of_runs("tasks of 5 ms", list(rates), "tasks/s")
    yield Figure.of_runs("tasks of 5 ms: CPU time of the manager", list(costs), "ms/task")


def _run(tasks: int) -> tuple[float, float]:
    """Return tasks per second, and the milliseconds of CPU that the manager used for each."""
    clear()
    fill(Rows(count=tasks, processor=Compute))
    with Runs.create(tasks) as runs:
        with running_engine() as engine:
            manager, *_ = engine.processes
            engine.wait_until(lambda: runs.ran() >= tasks // 10, "the first tasks")
            ran, since, used = runs.ran(), time.monotonic(), cpu_seconds(manager)
            engine.wait_until(lambda: runs.ran() >= tasks * 9 // 10, "most of the tasks")
            ran, seconds = runs.ran() - ran, time.monotonic() - since
            used = cpu_seconds(manager) - used
            engine.wait_until(lambda: runs.ran() >= tasks, "the last task")
        check_once(runs)
    return ran / seconds, used / ran * 1000
