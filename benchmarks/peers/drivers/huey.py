"""Drives huey on Redis or on SQLite."""

from __future__ import annotations

from collections.abc import Iterable

from huey import RedisHuey, SqliteHuey

from benchmarks.peers.drivers.options import database_url, options, redis_url
from benchmarks.peers.journal import mark

_is_sqlite = options()["store"] == "SQLite"
if _is_sqlite:
    huey = SqliteHuey("peers", filename=database_url().removeprefix("sqlite:///"))
else:
    huey = RedisHuey("peers", url=redis_url())


@huey.task()
def run(number: int) -> int:
    """Run in a worker process; what it returns is kept."""
    return mark(number)


def prepare() -> None:
    """Nothing has to be made."""


def enqueue_many(numbers: Iterable[int]) -> None:
    """Enqueue one by one."""
    for number in numbers:
        run(number)


def enqueue_one(number: int) -> None:
    """Enqueue the usual way."""
    run(number)


def is_recorded(tasks: int) -> bool:
    """Count the results."""
    return bool(huey.result_count() == tasks)
