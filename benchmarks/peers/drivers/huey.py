"""Drives huey on Redis or on SQLite."""

from __future__ import annotations

from collections.abc import Iterable

from huey import RedisHuey, SqliteHuey

from benchmarks.peers.drivers import set_up_orm, told, work_in_django

set_up_orm()

if "redis" in told():
    huey = RedisHuey("peers", url=told()["redis"])
else:
    huey = SqliteHuey("peers", filename=told()["queue"])


@huey.task()
def run(number: int) -> int:
    """Run in a worker process; what it returns is kept."""
    return work_in_django(number)


def enqueue_many(numbers: Iterable[int]) -> None:
    """Enqueue one by one: there is no other way."""
    for number in numbers:
        run(number)


def enqueue_one(number: int) -> None:
    """Enqueue the usual way."""
    run(number)


def is_recorded(tasks: int) -> bool:
    """Count the results."""
    return bool(huey.result_count() == tasks)
