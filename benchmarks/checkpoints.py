"""Checkpoints: what it costs a task to say after each item where it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from benchmarks.bench_app.long_tasks import Checkpoints
from benchmarks.engine import running_engine, wait_until_serving
from benchmarks.figures import Figure, Target
from benchmarks.measure import Scale
from benchmarks.rows import clear
from django_partisan.models import Task

TARGET: Final = Target(1, is_maximum=True)


def measure(scale: Scale) -> Iterator[Figure]:
    """Have a task say so as often as there are items, and do nothing else."""
    clear()
    found = []
    with running_engine() as engine:
        wait_until_serving(engine)
        for _ in range(scale.runs):
            task = Checkpoints(scale.many_tasks).delay()

            def is_finished(task: Task = task) -> bool:
                task.refresh_from_db()
                return task.status == Task.STATUS_FINISHED

            engine.wait_until(is_finished, "the last checkpoint")
            seconds: Any = task.result
            found.append(float(seconds))
    yield Figure.of_runs(f"{scale.many_tasks:,} checkpoints", found, "s", TARGET)
