"""Measures the engine and prints a report: drain, enqueue, pick-up and idle cost.

It starts a PostgreSQL of its own, with durable commits, unless a database is named; then it
measures the drain on SQLite as well.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import Final

from benchmarks.command import Section, measured, parser, run, sqlite_file
from tools.embedded_postgres import embedded_postgres

MEASURES: Final = ("drain", "long-drain", "work", "enqueue", "pickup", "idle")


def main() -> int:
    """Measure, report, and return 0; with ``--check``, 1 when a target is missed."""
    options = parser("make bench", __doc__, MEASURES)
    options.add_argument("--no-sqlite", action="store_true", help="leave the drain on SQLite out")
    return run(options.parse_args(), _measure_all)


def _measure_all(options: argparse.Namespace) -> Iterator[Section]:
    measures = options.only.split(",")
    named = options.database and contextlib.nullcontext(options.database)
    with named or embedded_postgres() as url:
        is_sqlite = url.startswith("sqlite")
        name = "SQLite" if is_sqlite else "PostgreSQL"
        yield name, measured(url, measures, "bench", options)
    if not is_sqlite and not options.no_sqlite and "drain" in measures:
        with sqlite_file() as url:
            yield "SQLite", measured(url, ["drain"], "bench", options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
