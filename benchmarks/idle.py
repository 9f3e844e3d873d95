"""Idle: what a manager and two workers cost while there is nothing to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.db import connection

from benchmarks.engine import cpu_seconds, running_engine, wait_until_serving
from benchmarks.figures import Figure, Target
from benchmarks.machine import shown
from benchmarks.measure import Scale
from benchmarks.rows import clear

CPU_TARGETS: Final = {
    "postgresql": Target(0.3, is_maximum=True),
    "sqlite": Target(0.1, is_maximum=True),
}
STATEMENTS_TARGET: Final = Target(40, is_maximum=True)
SETTLE_SECONDS: Final = 2.5
"""For start-up to end, and for the server to count all of it: one default wait and a half."""
LOGGED: Final = {"PGOPTIONS": "-c log_statement=all"}
"""Has the server write every statement of the manager into its log."""


def measure(scale: Scale) -> Iterator[Figure]:
    """Watch an idle manager with default settings for so many seconds."""
    clear()
    log = _log_of_server()
    with running_engine(LOGGED if log else None) as engine:
        wait_until_serving(engine)
        time.sleep(SETTLE_SECONDS)
        sent, cpu = _statements(log), cpu_seconds(*engine.processes)
        started = time.monotonic()
        time.sleep(scale.idle_seconds)
        elapsed = time.monotonic() - started
        share = (cpu_seconds(*engine.processes) - cpu) / elapsed
        sent = _statements(log) - sent
    target = CPU_TARGETS[connection.vendor]
    yield Figure.of_runs("idle, CPU time", [100 * share], "% of a core", target)
    if log is not None:
        per_minute = 60 * sent / elapsed
        yield Figure.of_runs("idle, statements", [per_minute], "per minute", STATEMENTS_TARGET)


def _log_of_server() -> Path | None:
    """Return where the embedded server writes its log; None with any other server."""
    if connection.vendor != "postgresql":
        return None
    log = Path(shown("data_directory") or "/nowhere").with_name("postgres.log")
    return log if log.exists() else None


def _statements(log: Path | None) -> int:
    if log is None:
        return 0
    lines = log.read_text(errors="replace").splitlines()
    return sum("LOG:  statement:" in line or "LOG:  execute " in line for line in lines)
