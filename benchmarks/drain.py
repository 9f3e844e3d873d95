"""Drain: how fast two workers empty a queue in which many tasks wait."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from django.db import connection
from django.db.models import Count, Max, Min, Q

from benchmarks.bench_app.partisan_tasks import Noop, UniqueNoop
from benchmarks.engine import Engine, running_engine
from benchmarks.figures import BenchError, Figure, Target
from benchmarks.tally import Tally
from django_partisan.models import Task

TARGET = Target(bound=10_000, is_maximum=False)
BEST_SETTINGS = ("--min_queue_size=250", "--max_queue_size=500")

VARIANTS: dict[str, tuple[type[Noop], Sequence[str]]] = {
    "drain, default settings": (UniqueNoop, ()),
    "drain, default settings, not unique": (Noop, ()),
    "drain, MIN 250 / MAX 500": (UniqueNoop, BEST_SETTINGS),
}


def measure(tasks: int, runs: int) -> Iterator[Figure]:
    """Drain ``tasks`` waiting tasks with each variant in turn, ``runs`` times over."""
    rates: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(runs):
        for name, (processor, options) in VARIANTS.items():
            rates[name].append(drain_once(processor, tasks, *options))
    for name, results in rates.items():
        target = TARGET if connection.vendor == "postgresql" and "MIN" not in name else None
        yield Figure.of_runs(name, results, "tasks/s", target)


def drain_once(processor: type[Noop], tasks: int, *options: str) -> float:
    """Return tasks per second from the first claim to the last recorded outcome."""
    clear()
    fill(processor, tasks)
    with Tally(tasks) as tally:
        with running_engine(*options) as engine:
            _wait_until_drained(engine)
        runs = tally.runs()
    if runs != {1: tasks}:
        raise BenchError(f"Not every task ran exactly once: (times run: tasks) {dict(runs)}")
    return tasks / _seconds(tasks)


def clear() -> None:
    """Leave no task behind, and no trace of former ones in the table's files."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_partisan_attempt")
        if connection.vendor == "postgresql":
            cursor.execute("TRUNCATE django_partisan_task")
        else:
            cursor.execute("DELETE FROM django_partisan_task")


def fill(processor: type[Noop], tasks: int) -> None:
    """Store waiting tasks as ``.delay()`` would, with their number as argument."""
    Task.objects.bulk_create((_row(processor, number) for number in range(tasks)), batch_size=500)


def _row(processor: type[Noop], number: int) -> Task:
    unique = uuid.uuid4() if processor.UNIQUE_FOR_PARAMS else None
    return Task(
        processor_class=processor(number).processor_name,
        arguments={"args": [number], "kwargs": {}},
        unique_hash=unique,
        unique_key=unique,
    )


def _wait_until_drained(engine: Engine) -> None:
    open_tasks = Task.objects.filter(status__in=[Task.STATUS_NEW, Task.STATUS_IN_PROCESS])
    engine.wait_until(lambda: not open_tasks.exists(), "the end of the drain", pause=0.05)


def _seconds(tasks: int) -> float:
    """Return how long the drain took by the rows, which must tell of one attempt each."""
    right = Q(status=Task.STATUS_FINISHED, attempts=1, lease=1)
    found = Task.objects.aggregate(
        right=Count("pk", filter=right), begin=Min("claimed_at"), end=Max("updated_at")
    )
    if found["right"] != tasks:
        raise BenchError(f"{tasks - found['right']} of {tasks} tasks are not finished at once.")
    seconds: float = (found["end"] - found["begin"]).total_seconds()
    return seconds
