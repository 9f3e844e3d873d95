"""Drives pgqueuer on asyncpg, the driver that its documentation begins with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.peers.drivers import set_up_orm, told, work_in_loop

set_up_orm()

_await = asyncio.new_event_loop().run_until_complete


@asynccontextmanager
async def factory() -> AsyncIterator[PgQueuer]:
    """Give ``pgq run`` what it runs."""
    connection = await asyncpg.connect(told()["database"])
    queuer = PgQueuer(AsyncpgDriver(connection))

    @queuer.entrypoint("mark")
    async def run(job: Job) -> None:
        await work_in_loop(json.loads(job.payload)["number"])

    try:
        yield queuer
    finally:
        await connection.close()


def prepare() -> None:
    """Make the tables."""
    _await(_queries().install())


def enqueue_many(numbers: Iterable[int]) -> None:
    """Enqueue in one statement."""
    payloads = [json.dumps({"number": number}).encode() for number in numbers]
    count = len(payloads)
    _await(_queries().enqueue(["mark"] * count, payloads, [0] * count))


def enqueue_one(number: int) -> None:
    """Enqueue in a transaction of its own."""
    _await(_queries().enqueue("mark", json.dumps({"number": number}).encode()))


def is_recorded(tasks: int) -> bool:
    """Look at the log into which finished jobs move."""
    query = "SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'"
    return bool(_await(_connection().fetchval(query)) == tasks)


@cache
def _connection() -> Any:
    return _await(asyncpg.connect(told()["database"]))


@cache
def _queries() -> Any:
    return Queries(AsyncpgDriver(_connection()))
