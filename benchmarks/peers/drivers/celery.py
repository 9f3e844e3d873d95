"""Drives Celery with Redis as its broker and result backend."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import redis
from celery import Celery

from benchmarks.peers.drivers import set_up_orm, told, work

set_up_orm()

app = Celery("peers", broker=told()["redis"], backend=told()["redis"])
app.conf.update(told()["options"])


@app.task(name="run")
def run(number: int) -> int:
    """Run in a worker process."""
    return work(number)


def enqueue_many(numbers: Iterable[int]) -> None:
    """Enqueue one by one: a group's members share a result, which costs more."""
    with app.producer_pool.acquire(block=True) as producer:
        for number in numbers:
            run.apply_async((number,), producer=producer)


def enqueue_one(number: int) -> None:
    """Enqueue the usual way."""
    run.delay(number)


def is_recorded(tasks: int) -> bool:
    """Count the results."""
    keys = _redis().scan_iter(match="celery-task-meta-*", count=10_000)
    return sum(1 for _ in keys) == tasks


@cache
def _redis() -> Any:
    return redis.Redis.from_url(told()["redis"])
