"""Measures whether the engine stays fast under the conditions that slow queues down.

Deep backlogs, many finished rows, future rows, a transaction held open, many writers; and what it
costs when idle, in memory and in WAL. It takes some twelve minutes, and starts a PostgreSQL of its
own, with durable commits, unless a database is named.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import Final

from benchmarks.command import Section, measured, parser, run, sqlite_file
from tools.embedded_postgres import embedded_postgres

POSTGRESQL: Final = ("beside", "held", "steady", "writers", "sizes", "memory", "wal", "polling")
SQLITE: Final = ("drain", "long-drain", "enqueue", "pickup", "idle")
LOG_EVERYTHING: Final = {"log_statement": "all", "log_line_prefix": "%p "}


def main() -> int:
    """Measure, report, and return 0; with ``--check``, 1 when a target is missed."""
    options = parser("make bench-conditions", __doc__, (*POSTGRESQL, "idle", "sqlite"))
    return run(options.parse_args(), _measure_all)


def _measure_all(options: argparse.Namespace) -> Iterator[Section]:
    wanted = options.only.split(",")
    measures = [measure for measure in POSTGRESQL if measure in wanted]
    if measures:
        named = options.database and contextlib.nullcontext(options.database)
        with named or embedded_postgres() as url:
            yield "PostgreSQL", measured(url, measures, "conditions", options)
    if "idle" in wanted:
        with embedded_postgres(settings=LOG_EVERYTHING) as url:
            name = "PostgreSQL that logs every statement"
            yield name, measured(url, ["idle"], "conditions", options)
    if "sqlite" in wanted:
        with sqlite_file() as url:
            yield "SQLite", measured(url, SQLITE, "conditions", options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
