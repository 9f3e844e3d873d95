"""Drives dramatiq with Redis as its broker; it keeps no results unless asked."""

from __future__ import annotations

from collections.abc import Iterable

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.drivers.options import redis_url
from benchmarks.peers.journal import mark

broker = RedisBroker(url=redis_url())
dramatiq.set_broker(broker)


@dramatiq.actor
def run(number: int) -> None:
    """Run in a thread of a worker process."""
    mark(number)


def prepare() -> None:
    """Nothing has to be made."""


def enqueue_many(numbers: Iterable[int]) -> None:
    """Enqueue one by one: there is no other way."""
    for number in numbers:
        run.send(number)


def enqueue_one(number: int) -> None:
    """Enqueue the usual way."""
    run.send(number)


def is_recorded(tasks: int) -> bool:
    """Look whether every message is acknowledged, which deletes it."""
    del tasks
    return not broker.client.hlen("dramatiq:default.msgs")
