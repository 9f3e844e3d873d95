"""Drain: how fast two workers empty a queue in which many tasks wait."""

from __future__ import annotations

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


_FILL = {
    "postgresql": """
WITH task AS (SELECT n, CASE WHEN %s THEN gen_random_uuid() END AS key
                FROM generate_series(0, %s - 1) n)
INSERT INTO django_partisan_task (status, queue_name, created_at, updated_at, processor_class,
       priority, arguments, extra, unique_hash, unique_key)
SELECT 'new', 'default', now(), now(), %s, %s,
       jsonb_build_object('args', jsonb_build_array(n), 'kwargs', '{}'::jsonb), '{}', key, key
  FROM task""",
    "sqlite": """
WITH RECURSIVE task(n, is_unique, last) AS (
    SELECT 0, %s, %s - 1 UNION ALL SELECT n + 1, is_unique, last FROM task WHERE n < last
), keyed AS MATERIALIZED (
    SELECT n, CASE WHEN is_unique THEN lower(hex(randomblob(16))) END AS key FROM task)
INSERT INTO django_partisan_task (status, queue_name, created_at, updated_at, processor_class,
       priority, arguments, extra, unique_hash, unique_key)
SELECT 'new', 'default', datetime('now'), datetime('now'), %s, %s,
       json_object('args', json_array(n), 'kwargs', json('{}')), '{}', key, key
  FROM keyed""",
}


def measure(tasks: int, runs: int) -> Iterator[Figure]:
    """Drain ``tasks`` waiting tasks with each variant in turn, ``runs`` times over (SQLite: 3)."""
    rates: dict[str, list[float]] = {name: [] for name in VARIANTS}
    # The second database is there for comparison; the whole bench should end in two minutes.
    rounds = runs if connection.vendor == "postgresql" else min(runs, 3)
    for _ in range(rounds):
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
    is_unique, name = processor.UNIQUE_FOR_PARAMS, processor(0).processor_name
    with connection.cursor() as cursor:
        # bulk_create() would take longer than the drain that is measured.
        cursor.execute(_FILL[connection.vendor], [is_unique, tasks, name, processor.PRIORITY])


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
