"""Drain: how fast two workers empty a queue in which many tasks wait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from django.db import connection
from django.db.models import Count, Min, Q

from benchmarks.bench_app.partisan_tasks import Noop, UniqueNoop
from benchmarks.engine import running_engine
from benchmarks.figures import BenchError, Figure, Target
from benchmarks.rows import Rows, clear, fill
from benchmarks.scale import Scale
from benchmarks.tally import Tally
from django_partisan.models import Task

TARGET = Target(bound=15_000, is_maximum=False)
PSYCOPG3_TARGET = Target(bound=25_000, is_maximum=False)
FEW_RUNS = 3
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

PROCESSORS: dict[str, type[Noop]] = {
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


def drain(tasks: int, *options: str, waiting: int | None = None) -> float:
    """Have a manager run ``tasks`` of the ``waiting`` tasks (all when None); return tasks per s.

    The time is from its first claim to the moment when so many outcomes were recorded.
    """
    since = server_time() if connection.vendor == "postgresql" else LONG_AGO
    recorded = Task.objects.filter(
        status=Task.STATUS_FINISHED, queue_name="default", finished_at__gte=since
    )
    with Tally(waiting or tasks) as tally:
        with running_engine(*options) as engine:
            engine.wait_until(lambda: tally.ran() >= tasks, "the end of the drain")
            engine.wait_until(lambda: recorded.count() >= tasks, "the last record")
        check_once(tally, since)
    begin = recorded.aggregate(begin=Min("claimed_at"))["begin"]
    end = recorded.order_by("updated_at").values_list("updated_at", flat=True)[tasks - 1]
    return tasks / float((end - begin).total_seconds())


def server_time() -> datetime:
    """Return the time by the server's clock, which is the one in its rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment


def check_once(tally: Tally, since: datetime = LONG_AGO) -> int:
    """Return how many tasks finished; raise BenchError unless each ran once, in one attempt.

    To be called when the manager has stopped: then what ran is recorded, and nothing is in process.
    """
    runs = tally.runs()
    once = Q(status=Task.STATUS_FINISHED, attempts=1, rescues=0, finished_at__gte=since)
    others = Q(status__in=[Task.STATUS_IN_PROCESS, Task.STATUS_ERROR])
    found = Task.objects.aggregate(once=Count("pk", once), others=Count("pk", others))
    if set(runs) - {0, 1} or found["once"] != runs[1] or found["others"]:
        raise BenchError(
            f"Not every task ran exactly once: (times run: tasks) {dict(runs)}, "
            f"{found['once']} finished in one attempt, {found['others']} in process or in error."
        )
    return runs[1]
