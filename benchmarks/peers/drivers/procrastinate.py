"""Drives procrastinate without Django, which is its faster way."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import procrastinate
import psycopg

from benchmarks.peers.drivers.options import database_url, options
from benchmarks.peers.journal import mark

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=database_url()))


@app.task
def run(number: int) -> int:
    """Run in a thread, as plain functions do."""
    return mark(number)


@app.task
async def run_async(number: int) -> int:
    """Run in the event loop."""
    return mark(number)


_task = run_async if options().get("async") else run


def prepare() -> None:
    """Make the tables."""
    _sync_app().schema_manager.apply_schema()


def enqueue_many(numbers: Iterable[int]) -> None:
    """Enqueue in one statement."""
    _sync_app()
    _task.batch_defer(*({"number": number} for number in numbers))


def enqueue_one(number: int) -> None:
    """Enqueue in a transaction of its own."""
    _sync_app()
    _task.defer(number=number)


def is_recorded(tasks: int) -> bool:
    """Look at the statuses."""
    query = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
    row = _connection().execute(query).fetchone()
    return bool(row[0] == tasks)


@cache
def _connection() -> Any:
    return psycopg.connect(database_url(), autocommit=True)


@cache
def _sync_app() -> Any:
    """Open the app's pool once; enqueuing uses it from then on."""
    app.open()
    return app
