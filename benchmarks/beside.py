"""Drain beside many other rows, which should be as fast as in a table without them.

Each condition has a database of its own beside the plain one, on the same server, filled once; the
drains in the two take turns. Where nothing else is said, the table is vacuumed and analyzed before
each drain: so many rows do not come at once in life, and autovacuum has followed them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from django.db import connection

from benchmarks.drain import drain
from benchmarks.figures import Figure, Target, ratio
from benchmarks.measure import Scale
from benchmarks.rows import Rows, clear, fill, tidy
from benchmarks.settings import DATABASE_VARIABLE
from tools.database_urls import database_url

TARGET: Final = Target(0.9, is_maximum=False)
A_DAY: Final = 24 * 60 * 60
LATE_STOP: Final = 10_000


class Condition(NamedTuple):
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
    Condition("100 k waiting", 100, _waiting, is_shared=True),
    Condition("100 k waiting, stale statistics", 100, _waiting, is_shared=True, is_stale=True),
    Condition("1 M waiting", 1000, _waiting, is_shared=True),
    Condition("1 M finished", 1000, _finished),
    Condition("200 k future rows, better priority", 200, _future),
    Condition("19 other queues, 10 k waiting in each", 190, _queues),
)


def measure(scale: Scale) -> Iterator[Figure]:
    """Drain so many tasks under each condition, ``scale.pairs`` times beside a plain drain."""
    every = []
    for condition in CONDITIONS:
        plain, beside = _pairs(condition, scale)
        every += plain
        yield Figure.of_runs(f"drain, {condition.name}", beside, "tasks/s")
        yield ratio(f"drain, {condition.name}: rate / plain drain", beside, plain, TARGET)
    yield Figure.of_runs("drain, plain, all the above", every, "tasks/s")


def _pairs(condition: Condition, scale: Scale) -> tuple[list[float], list[float]]:
    """Return the rates of the plain drains, and of those under the condition."""
    plain, beside = list[float](), list[float]()
    with _other_database() as other:
        with _moved_to(other):
            drained = _prepare(condition, scale)
        for pair in range(scale.pairs):
            for is_plain in (True, False) if pair % 2 else (False, True):
                if is_plain:
                    clear()
                    plain.append(_drain(scale.beside_tasks))
                    continue
                with _moved_to(other):
                    rate = _drain(scale.beside_tasks, drained, is_stale=condition.is_stale)
                beside.append(rate)
    return plain, beside


def _prepare(condition: Condition, scale: Scale) -> int | None:
    """Store the other rows; return how many tasks wait when the drained ones are among them."""
    count = condition.thousands * scale.million // 1000
    if condition.is_shared:
        # So that the named count is left at the last drain; each runs on until it is stopped.
        count += 2 * scale.pairs * (scale.beside_tasks + LATE_STOP)
    if condition.is_stale:
        clear()
        fill(Rows(count=scale.beside_tasks, status="finished"))
        tidy()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE django_partisan_task SET (autovacuum_enabled = off)")
    for rows in condition.others(count):
        fill(rows)
    return count if condition.is_shared else None


def _drain(tasks: int, waiting: int | None = None, *, is_stale: bool = False) -> float:
    if waiting is None:
        fill(Rows(count=tasks))
    if not is_stale:
        tidy()
    return drain(tasks, waiting=waiting)


@contextlib.contextmanager
def _other_database() -> Iterator[str]:
    """Make an empty database for the length of the block; yield its name."""
    clear()
    creation = connection.creation
    creation.clone_test_db("beside", verbosity=0, autoclobber=True)
    try:
        yield str(creation.get_test_db_clone_settings("beside")["NAME"])
    finally:
        creation.destroy_test_db(verbosity=0, suffix="beside")


@contextlib.contextmanager
def _moved_to(name: str) -> Iterator[None]:
    """Have this process, and the managers that it starts, use another database for a while."""
    former = connection.settings_dict["NAME"]
    try:
        _move_to(name)
        yield
    finally:
        _move_to(former)


def _move_to(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name
    os.environ[DATABASE_VARIABLE] = database_url(connection.settings_dict, name)
