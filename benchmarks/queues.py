"""Several queues in one manager: drains of as many tasks, and how worker time is shared."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from benchmarks.bench_app.partisan_tasks import Sleep10, Sleep100
from benchmarks.drain import FEW_RUNS, LONG_AGO, check_once
from benchmarks.engine import running_engine
from benchmarks.figures import Figure, Target, ratio
from benchmarks.measure import Scale
from benchmarks.rows import Rows, clear, fill, tidy
from django_partisan.models import Task
from tools.ledger import Runs

TARGET: Final = Target(0.85, is_maximum=False)
COUNTS: Final = (1, 20, 200)
WEIGHTED: Final = (("light", Sleep100), ("heavy", Sleep10))
"""Queues of ``benchmarks.settings``, of weights 1 and 3."""


def measure(scale: Scale) -> Iterator[Figure]:
    """Drain the same number of tasks from 1, 20 and 200 queues in turn; then share time 3 : 1."""
    rates: dict[int, list[float]] = {count: [] for count in COUNTS}
    for _ in range(min(scale.runs, FEW_RUNS)):
        for count in COUNTS:
            rates[count].append(_drain(scale.many_tasks, count))
    for count, results in rates.items():
        yield Figure.of_runs(f"drain of {count} queues", results, "tasks/s")
    for count in COUNTS[1:]:
        yield ratio(f"drain of {count} queues ÷ of one", rates[count], rates[1], TARGET)
    yield Figure.of_runs(
        "worker time of weight 3 beside 1, tasks of 10 and 100 ms", [_share(scale)], "%"
    )


def _drain(tasks: int, queues: int) -> float:
    """Return the tasks per second of a manager that serves so many queues with as many each."""
    clear()
    for number in range(queues):
        share = tasks // queues
        fill(Rows(count=share, first=number * share, queue_name=f"queue {number}"))
    tidy()
    count = tasks // queues * queues
    finished = Task.objects.filter(status=Task.STATUS_FINISHED)
    with Runs.create(count) as runs:
        with running_engine(arguments=("--queue_name", "*")) as engine:
            engine.wait_until(lambda: runs.ran() >= count // 100, "the first tasks")
            ran, since = runs.ran(), time.monotonic()
            engine.wait_until(lambda: runs.ran() >= count, "the end of the drain")
            seconds = time.monotonic() - since
            engine.wait_until(lambda: finished.count() >= count, "the last record")
        check_once(runs, LONG_AGO)
    return (count - ran) / seconds


def _share(scale: Scale) -> float:
    """Return the per cent of worker time that the queue of weight 3 gets beside that of 1."""
    clear()
    for place, (name, processor) in enumerate(WEIGHTED):
        fill(Rows(count=20_000, first=place * 20_000, queue_name=name, processor=processor))
    names = [word for name, _ in WEIGHTED for word in ("--queue_name", name)]
    with Runs.create(40_000) as runs, running_engine(arguments=names) as engine:
        engine.wait_until(lambda: runs.ran() > 0, "the first task")
        time.sleep(3 * scale.idle_seconds)
    spent = {}
    for name, _ in WEIGHTED:
        times = Task.objects.filter(queue_name=name, finished_at__isnull=False)
        ran = times.values_list("started_at", "finished_at")
        spent[name] = sum((end - begin).total_seconds() for begin, end in ran if begin and end)
    return 100 * spent["heavy"] / sum(spent.values())
