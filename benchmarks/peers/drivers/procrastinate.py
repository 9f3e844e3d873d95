"""Drives procrastinate without Django, which is its faster way."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import procrastinate
import psycopg

from benchmarks.peers.drivers import set_up_orm, told, work_in_django, work_in_loop

set_up_orm()

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=told()["database"]))


@app.task
def run(number: int) -> int:
    """Run in a thread, as plain functions do."""
    return work_in_django(number)


@app.task
async def run_async(number: int) -> int:
    """Run in the event loop."""
    return await work_in_loop(number)


@cache
def _task() -> Any:
    """Open the app's pool once; enqueuing uses it from then on."""
    app.open()
    return run_async if told()["options"].get("async") else run


def prepare() -> None:
    """Make the tables."""
    _task()
    app.schema_manager.apply_schema()


def enqueue_many(numbers: Iterable[int]) -> None:
    """Enqueue in one statement."""
    _task().batch_defer(*({"number": number} for number in numbers))


def enqueue_one(number: int) -> None:
    """Enqueue in a transaction of its own."""
    _task().defer(number=number)


@cache
def _connection() -> Any:
    return psycopg.connect(told()["database"], autocommit=True)


def is_recorded(tasks: int) -> bool:
    """Look at the statuses."""
    query = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
    return bool(_connection().execute(query).fetchone()[0] == tasks)
