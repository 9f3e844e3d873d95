"""Idle: what a manager and two workers cost while there is nothing to do."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.db import connection

from benchmarks.engine import cpu_seconds, running_engine, wait_until_serving
from benchmarks.figures import Figure, Target
from benchmarks.rows import clear

CPU_TARGET: Final = Target(bound=0.3, is_maximum=True)
STATEMENTS_TARGET: Final = Target(bound=40, is_maximum=True)
SETTLE_SECONDS = 2.5
"""For start-up to end, and for the server to count all of it: one default wait and a half."""


def measure(seconds: float) -> Iterator[Figure]:
    """Watch an idle manager with default settings for so many seconds."""
    clear()
    with running_engine() as engine:
        wait_until_serving(engine)
        time.sleep(SETTLE_SECONDS)
        log, cpu, commits, started = (
            _LogEnd(),
            cpu_seconds(*engine.processes),
            _commits(),
            time.monotonic(),
        )
        time.sleep(seconds)
        elapsed = time.monotonic() - started
        share = (cpu_seconds(*engine.processes) - cpu) / elapsed
        # Two of them were our own question.
        spent = max(0, _commits() - commits - 2)
        statements = log.statements()
    # An SQLite file has to be looked at twenty times a second; the target is about notifications.
    target = CPU_TARGET if connection.vendor == "postgresql" else None
    yield Figure.of_runs("idle, CPU time", [100 * share], "% of a core", target)
    if statements is not None:
        per_minute = 60 * statements / elapsed
        yield Figure.of_runs("idle, statements", [per_minute], "per minute", STATEMENTS_TARGET)
    if connection.vendor == "postgresql":
        yield Figure.of_runs("idle, transactions", [60 * spent / elapsed], "per minute")


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


class _LogEnd:
    """Where the log of a server ends now that logs every statement, after the process's id."""

    def __init__(self) -> None:
        self._log: Path | None = None
        if connection.vendor == "postgresql" and _shown("log_statement") == "all":
            # Where the embedded server writes it.
            self._log = Path(_shown("data_directory")).with_name("postgres.log")
            self._position = self._log.stat().st_size

    def statements(self) -> int | None:
        """Return how many statements others have sent since; None when nobody knows."""
        if self._log is None:
            return None
        with self._log.open("rb") as file:
            file.seek(self._position)
            senders = re.findall(
                rb"^(\d+) LOG:  (?:statement|execute)\b", file.read(), re.MULTILINE
            )
        return len(senders) - senders.count(_shown("pg_backend_pid").encode())


def _shown(what: str) -> str:
    function = f"{what}()" if what.startswith("pg_") else f"current_setting('{what}')"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}")  # our own words only
        return str(cursor.fetchone()[0])
