"""Drain: how fast two workers empty a queue in which many tasks wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from django.db import connection
from django.db.models import Count, Min, Q

from benchmarks.bench_app.partisan_tasks import Noop, UniqueNoop
from benchmarks.engine import running_engine
from benchmarks.figures import BenchError, Figure, Target
from benchmarks.measure import Scale
from benchmarks.rows import Rows, clear, fill
from django_partisan.models import Task
from tools.ledger import Runs, not_once

TARGET: Final = Target(15_000, is_maximum=False)
PSYCOPG3_TARGET: Final = Target(25_000, is_maximum=False)
FEW_RUNS: Final = 3
LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
PROCESSORS: Final[dict[str, type[Noop]]] = {
    "drain": UniqueNoop,
    "drain of tasks that are not unique": Noop,
}


def measure(scale: Scale) -> Iterator[Figure]:
    """Drain ``scale.tasks`` waiting tasks of each kind in turn.

    SQLite, which is there for comparison, has fewer runs.
    """
    runs = scale.runs if connection.vendor == "postgresql" else min(scale.runs, FEW_RUNS)
    yield from _measure(tuple(PROCESSORS), scale.tasks, runs)


def measure_many(scale: Scale) -> Iterator[Figure]:
    """Drain ``scale.many_tasks`` waiting tasks, a few times."""
    yield from _measure(("drain",), scale.many_tasks, min(scale.runs, FEW_RUNS))


def _measure(names: Sequence[str], tasks: int, runs: int) -> Iterator[Figure]:
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            clear()
            fill(Rows(count=tasks, processor=PROCESSORS[name]))
            rates[name].append(drain(tasks))
    for name, results in rates.items():
        yield Figure.of_runs(f"{name}, {tasks:,} waiting", results, "tasks/s", _target())


def _target() -> Target | None:
    """Return what is promised: with psycopg 3 the defaults are the best settings as well."""
    if connection.vendor != "postgresql":
        return None
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    return PSYCOPG3_TARGET if is_psycopg3 else TARGET


def drain(
    tasks: int, *, waiting: int | None = None, environment: Mapping[str, str] | None = None
) -> float:
    """Have a manager run ``tasks`` of the ``waiting`` tasks (all when None); return tasks per s.

    The time is from its first claim to the moment when so many outcomes were recorded.
    """
    since = _server_time() if connection.vendor == "postgresql" else LONG_AGO
    recorded = Task.objects.filter(
        status=Task.STATUS_FINISHED, queue_name="default", finished_at__gte=since
    )
    with Runs.create(waiting or tasks) as runs:
        with running_engine(environment) as engine:
            engine.wait_until(lambda: runs.ran() >= tasks, "the end of the drain")
            engine.wait_until(lambda: recorded.count() >= tasks, "the last record")
        check_once(runs, since)
    begin = recorded.aggregate(begin=Min("claimed_at"))["begin"]
    end = recorded.order_by("updated_at").values_list("updated_at", flat=True)[tasks - 1]
    return tasks / float((end - begin).total_seconds())


def _server_time() -> datetime:
    """Return the time by the server's clock, which is the one in its rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment


def check_once(runs: Runs, since: datetime = LONG_AGO) -> None:
    """Raise BenchError unless each task that ran finished, and in its only attempt.

    To be called when the manager has stopped: then what ran is recorded, and nothing is in process.
    """
    once = Q(status=Task.STATUS_FINISHED, attempts=1, rescues=0, finished_at__gte=since)
    astray = Q(status__in=[Task.STATUS_IN_PROCESS, Task.STATUS_ERROR])
    found = Task.objects.aggregate(once=Count("pk", once), astray=Count("pk", astray))
    problems = not_once(runs.times(), recorded=found["once"], astray=found["astray"])
    if texts := [problem.text for problem in problems]:
        raise BenchError(f"Not every task ran exactly once: {'; '.join(texts)}.")
