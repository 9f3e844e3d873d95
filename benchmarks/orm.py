"""ORM: tasks that read and write one row, and what it costs to tidy up between them.

For the cost, one of two workers tidies nothing: sessions of the database are neither watched nor
made fresh, the process is not looked at. Both drain one queue at the same time, so whatever else
the machine does hits them alike, and each runs as many tasks as it can: the share that tidying
takes of a worker's time, round trips included, is by how much fewer tasks the tidy one has run.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench_app.apps import UNTIDY_VARIABLE
from benchmarks.bench_app.models import fill_rows, written
from benchmarks.bench_app.partisan_tasks import ReadAndWrite
from benchmarks.drain import FEW_RUNS, drain
from benchmarks.figures import BenchError, Figure, Target
from benchmarks.measure import Scale
from benchmarks.rows import Rows, clear, fill
from django_partisan.models import Task

NAME = "tasks that read and write a row"
TARGET = Target(10, is_maximum=True)


def measure(scale: Scale) -> Iterator[Figure]:
    """Drain so many of them a few times, then with one worker that tidies nothing."""
    rates = [_drain(scale.orm_tasks) for _ in range(min(scale.runs, FEW_RUNS))]
    yield Figure.of_runs(NAME, rates, "tasks/s")
    shares = [_share(scale.orm_tasks, pair % 2) for pair in range(scale.pairs)]
    yield Figure.of_runs(f"{NAME}: tidying up", shares, "% of the time", TARGET)


def _share(tasks: int, untidy_worker: int) -> float:
    _drain(tasks, {UNTIDY_VARIABLE: str(untidy_worker)})
    tidy = Task.objects.filter(result=True).count()
    return 100 * (1 - tidy / (tasks - tidy))


def _drain(tasks: int, environment: dict[str, str] | None = None) -> float:
    clear()
    fill_rows()
    fill(Rows(count=tasks, processor=ReadAndWrite))
    rate = drain(tasks, environment=environment)
    if written() != tasks:
        raise BenchError("Not every task has written.")
    return rate
