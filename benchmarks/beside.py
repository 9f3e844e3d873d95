"""Drain beside many other rows, which should be as fast as in a table without them.

Each condition has a database of its own beside the plain one, on the same server, filled once; the
drains in the two take turns. Where nothing else is said, the table is vacuumed and analyzed before
each drain: so many rows do not come at once in life, and autovacuum has followed them.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from django.db import connection

from benchmarks.drain import drain
from benchmarks.figures import Figure, Target
from benchmarks.rows import Rows, clear, fill, tidy
from benchmarks.scale import Scale
from benchmarks.settings import DATABASE_VARIABLE
from tools.database_urls import database_url

TARGET: Final = Target(bound=0.9, is_maximum=False)
A_DAY: Final = 24 * 60 * 60
LATE_STOP: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What stands in the table beside the tasks that are drained."""

    name: str
    thousands: int
    others: Callable[[int], Iterator[Rows]]
    """Returns so many other rows."""
    is_shared: bool = False
    """Whether the others are due as well: then the drain is of the first ones among them."""
    is_stale: bool = False
    """Whether the statistics are those of the drained table, and autovacuum is off."""


def _waiting(count: int) -> Iterator[Rows]:
    yield Rows(count=count)


def _finished(count: int) -> Iterator[Rows]:
    yield Rows(count=count, status="finished")


def _future(count: int) -> Iterator[Rows]:
    yield Rows(count=count, priority=0, due_in_seconds=A_DAY)


def _queues(count: int) -> Iterator[Rows]:
    """Interleave nineteen other queues, as time would have done."""
    for _ in range(10):
        for number in range(19):
            yield Rows(count=count // 190, queue_name=f"queue {number}")


CONDITIONS: Final = (
    Condition(name="100 k waiting", thousands=100, others=_waiting, is_shared=True),
    Condition(
        name="100 k waiting, stale statistics",
        thousands=100,
        others=_waiting,
        is_shared=True,
        is_stale=True,
    ),
    Condition(name="1 M waiting", thousands=1000, others=_waiting, is_shared=True),
    Condition(name="1 M finished", thousands=1000, others=_finished),
    Condition(name="200 k future rows, better priority", thousands=200, others=_future),
    Condition(name="19 other queues, 10 k waiting in each", thousands=190, others=_queues),
)


@dataclass
class _Results:
    plain: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    def figures(self, name: str) -> Iterator[Figure]:
        yield Figure.of_runs(f"drain, {name}", self.beside, "tasks/s")
        ratios = [beside / plain for beside, plain in zip(self.beside, self.plain, strict=True)]
        # The ratio of one pair swings with the machine; its median is what the target is about.
        yield Figure(
            measure=f"drain, {name}: rate / plain drain",
            value=statistics.median(ratios),
            unit="times",
            runs=ratios,
            target=TARGET,
        )


def measure(scale: Scale) -> Iterator[Figure]:
    """Drain so many tasks under each condition, ``scale.pairs`` times beside a plain drain."""
    plain: list[float] = []
    for condition in CONDITIONS:
        results = _Results()
        with _other_database() as other:
            with other():
                drained = _prepare(condition, scale)
            for pair in range(scale.pairs):
                for is_plain in (True, False) if pair % 2 else (False, True):
                    if is_plain:
                        results.plain.append(_plain_drain(scale.beside_tasks))
                    else:
                        with other():
                            results.beside.append(
                                _drain_beside(condition, scale.beside_tasks, drained)
                            )
        plain += results.plain
        yield from results.figures(condition.name)
    yield Figure.of_runs("drain, plain, all the above", plain, "tasks/s")


def _prepare(condition: Condition, scale: Scale) -> int | None:
    """Store the other rows; return how many tasks wait when the drained ones are among them."""
    count = condition.thousands * scale.million // 1000
    if condition.is_shared:
        # So that the named count is left at the last drain; each runs on until it is stopped.
        count += 2 * scale.pairs * (scale.beside_tasks + LATE_STOP)
    if condition.is_stale:
        _keep_statistics_of_a_drained_table(scale.beside_tasks)
    for rows in condition.others(count):
        fill(rows)
    return count if condition.is_shared else None


def _keep_statistics_of_a_drained_table(tasks: int) -> None:
    clear()
    fill(Rows(count=tasks, status="finished"))
    tidy()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_partisan_task SET (autovacuum_enabled = off)")


def _plain_drain(tasks: int) -> float:
    clear()
    fill(Rows(count=tasks))
    tidy()
    return drain(tasks)


def _drain_beside(condition: Condition, tasks: int, waiting: int | None) -> float:
    if waiting is None:
        fill(Rows(count=tasks))
    if not condition.is_stale:
        tidy()
    return drain(tasks, waiting=waiting)


@contextlib.contextmanager
def _other_database() -> Iterator[Callable[[], contextlib.AbstractContextManager[None]]]:
    """Make an empty database; yield what moves this process, and managers, to it for a while."""
    clear()
    creation = connection.creation
    creation.clone_test_db("beside", verbosity=0, autoclobber=True)
    name = creation.get_test_db_clone_settings("beside")["NAME"]
    try:
        yield lambda: _moved_to(name)
    finally:
        creation.destroy_test_db(verbosity=0, suffix="beside")


@contextlib.contextmanager
def _moved_to(name: str) -> Iterator[None]:
    former = connection.settings_dict["NAME"]
    _move_to(name)
    try:
        yield
    finally:
        _move_to(former)


def _move_to(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name
    os.environ[DATABASE_VARIABLE] = database_url(connection.settings_dict, name)
