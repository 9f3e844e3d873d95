"""Pick-up: how soon after its commit an idle manager has a task running."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction

from benchmarks.bench_app.partisan_tasks import Stamp
from benchmarks.engine import running_engine, wait_until_serving
from benchmarks.figures import Figure, Target
from benchmarks.measure import Scale
from benchmarks.rows import clear
from benchmarks.settings import NOTIFY_VARIABLE
from django_partisan.models import Task

WARM_UP = 5
POLLING_TARGETS: dict[int, float] = {99: 600}
# Milliseconds. A notification wakes a manager at once, and so does a write to an SQLite file.
TARGETS: dict[str, dict[int, float]] = {"postgresql": {50: 2, 99: 4}, "sqlite": {50: 3, 99: 80}}


def measure(scale: Scale) -> Iterator[Figure]:
    """Commit tasks one by one to an idle manager with default settings."""
    yield from _measure(scale, "pick-up, commit to run()", TARGETS[connection.vendor], "on")


def measure_polling(scale: Scale) -> Iterator[Figure]:
    """Do the same with notifications off, as it is behind a pooler that shares sessions."""
    yield from _measure(scale, "pick-up, notifications off", POLLING_TARGETS, "off")


def _measure(scale: Scale, name: str, targets: dict[int, float], notify: str) -> Iterator[Figure]:
    clear()
    with running_engine({NOTIFY_VARIABLE: notify}) as engine:
        wait_until_serving(engine)
        committed = dict(_commit_one() for _ in range(WARM_UP + scale.pickups))
        done = Task.objects.filter(status=Task.STATUS_FINISHED)
        engine.wait_until(lambda: done.count() == len(committed), "the last pick-up")
    results: dict[int, Any] = dict(Task.objects.values_list("pk", "result"))
    waits = [(results[pk] - moment) / 1e6 for pk, moment in committed.items()][WARM_UP:]
    percentiles = statistics.quantiles(waits, n=100, method="inclusive")
    for percent in (50, 95, 99):
        bound = targets.get(percent)
        target = None if bound is None else Target(bound, is_maximum=True)
        yield Figure(f"{name}, p{percent}", percentiles[percent - 1], "ms", waits, target)


def _commit_one() -> tuple[int, int]:
    """Return a new task's id and the moment of its commit, and let the manager be idle again."""
    moments: list[int] = []
    with transaction.atomic():
        # Registered first, so it runs right after COMMIT, before the managers are notified.
        transaction.on_commit(lambda: moments.append(time.time_ns()))
        task = Stamp().delay()
    time.sleep(random.uniform(0.045, 0.065))
    return task.pk, moments[0]
