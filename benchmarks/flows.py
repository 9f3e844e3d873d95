"""Flows: storing 10,000 tasks and one that waits for them all, draining them, and its start."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from django.db import connection
from django.db.models import Max

from benchmarks.bench_app.partisan_tasks import Noop
from benchmarks.drain import drain
from benchmarks.engine import running_engine
from benchmarks.figures import Figure, Target
from benchmarks.measure import Scale
from benchmarks.rows import Rows, clear, fill
from django_partisan.flows import Flow, chain, group
from tools.ledger import Runs

ENQUEUE_TARGET: Final = Target(2, is_maximum=True)
SHARE_TARGET: Final = Target(0.75, is_maximum=False)
START_TARGET: Final = Target(100, is_maximum=True)


def measure(scale: Scale) -> Iterator[Figure]:
    """Drain tasks that one waits for, and as many plain ones, in turn."""
    count = scale.tasks
    stored, shares, starts = [], [], []
    for _ in range(scale.pairs):
        plain = _plain(count)
        flow, seconds = _store(count)
        rate, start = _drained(flow, count)
        stored.append(seconds)
        shares.append(rate / plain)
        starts.append(start)
    title = f"flow of {count:,} tasks and one after them"
    yield Figure.of_runs(f"{title}: stored in", stored, "s", ENQUEUE_TARGET)
    yield Figure.of_runs(f"{title}: drain", shares, "of plain tasks", SHARE_TARGET)
    yield Figure.of_runs(f"{title}: last end to its start", starts, "ms", START_TARGET)
    through = [_passed_through(count) for _ in range(min(3, scale.pairs))]
    yield Figure.of_runs(
        f"flow of 1, {count:,} and 1 task: from the first to the last", through, "s"
    )


def _plain(count: int) -> float:
    clear()
    fill(Rows(count=count, processor=Noop))
    return drain(count)


def _store(count: int) -> tuple[Flow, float]:
    clear()
    _analyze()
    began = time.perf_counter()
    flow = chain(group(Noop(number) for number in range(count)), Noop(count)).delay()
    seconds = time.perf_counter() - began
    _analyze()
    return flow, seconds


def _drained(flow: Flow, count: int) -> tuple[float, float]:
    """Return tasks per second, and milliseconds from the last end to the start of the join."""
    rate = _run(flow, count + 1)
    *_, last = flow.tasks
    ended = flow.tasks.exclude(pk=last.pk).aggregate(at=Max("finished_at"))["at"]
    assert last.started_at is not None
    return rate, (last.started_at - ended).total_seconds() * 1_000


def _passed_through(count: int) -> float:
    clear()
    middle = group(Noop(number) for number in range(1, count + 1))
    flow = chain(Noop(0), middle, Noop(count + 1)).delay()
    _analyze()
    _run(flow, count + 2)
    moments = flow.tasks.values_list("started_at", "finished_at")
    first, last = moments[0], moments[count + 1]
    assert first[0] is not None
    assert last[1] is not None
    return float((last[1] - first[0]).total_seconds())


def _run(flow: Flow, count: int) -> float:
    with Runs.create(count) as runs, running_engine() as engine:
        engine.wait_until(lambda: runs.ran() >= count, "the end of the flow")
        engine.wait_until(lambda: flow.progress.is_done, "the last record")
    rows = flow.tasks.order_by()
    begin = rows.order_by("claimed_at").values_list("claimed_at", flat=True)[0]
    end = rows.aggregate(at=Max("updated_at"))["at"]
    assert begin is not None
    return count / float((end - begin).total_seconds())


def _analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
