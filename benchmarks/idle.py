"""Idle: what a manager and two workers cost while there is nothing to do."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.db import connection

from benchmarks.drain import clear
from benchmarks.engine import Engine, running_engine, wait_until_serving
from benchmarks.figures import Figure

SETTLE_SECONDS = 2.5
"""For start-up to end, and for the server to count all of it: one default wait and a half."""


def measure(seconds: float) -> Iterator[Figure]:
    """Watch an idle manager with default settings for so many seconds."""
    clear()
    with running_engine() as engine:
        wait_until_serving(engine)
        time.sleep(SETTLE_SECONDS)
        cpu, commits, started = _cpu_seconds(engine), _commits(), time.monotonic()
        time.sleep(seconds)
        elapsed = time.monotonic() - started
        share = (_cpu_seconds(engine) - cpu) / elapsed
        # Two of them were our own question.
        spent = max(0, _commits() - commits - 2)
    yield Figure.of_runs("idle, CPU time", [100 * share], "% of a core")
    if connection.vendor == "postgresql":
        yield Figure.of_runs("idle, transactions", [60 * spent / elapsed], "per minute")


def _cpu_seconds(engine: Engine) -> float:
    times = [process.cpu_times() for process in engine.processes]
    return sum(spent.user + spent.system for spent in times)


def _commits() -> int:
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        # A server counts what a session did when the session gets to it: ours shall now.
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database "
            "WHERE datname = current_database()"
        )
        return int(cursor.fetchone()[0])
