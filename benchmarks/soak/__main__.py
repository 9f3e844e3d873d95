"""Soaks the engine in a mixed load and watches whether anything grows.

A real manager with two workers, which are replaced often and killed once a minute, runs tasks of
every kind at a steady rate, and prunes them soon. Processes and tables are watched meanwhile. It
starts a PostgreSQL of its own unless one is named. It ends with 1 when anything grew or any task
broke the ledger's rule; Ctrl-C ends it early with what has been seen until then.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Final

import django

from benchmarks.figures import BenchError
from benchmarks.measure import own_database
from benchmarks.soak.report import is_in_order, print_report, write
from tools.embedded_postgres import EmbeddedPostgresError, embedded_postgres
from tools.leaving import leave_on_sigterm

OUTPUT: Final = Path(".cache/soak")
INTERRUPTED: Final = 130


def main() -> int:
    """Soak, report, and return the exit code."""
    options = _parser().parse_args()
    stopping = threading.Event()
    leave_on_sigterm()
    named = options.database and contextlib.nullcontext(options.database)
    try:
        with named or embedded_postgres() as url:
            report = _soaked(url, options, stopping)
    except (EmbeddedPostgresError, BenchError) as error:
        print(f"No figures: {error}", file=sys.stderr)
        return 2
    paths = write(report, options.output)
    print_report(report)
    print(f"Written: {', '.join(map(str, paths))}")
    return INTERRUPTED if stopping.is_set() else int(not is_in_order(report))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="default: %(default)g")
    parser.add_argument(
        "--rate", type=float, default=300, help="tasks per second (default: %(default)g)"
    )
    parser.add_argument("--database", metavar="URL", help="soak on this server instead")
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="DIRECTORY", help="default: %(default)s"
    )
    return parser


def _soaked(url: str, options: argparse.Namespace, stopping: threading.Event) -> dict[str, Any]:
    os.environ["PARTISAN_BENCH_DATABASE_URL"] = url
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.soak.settings"
    django.setup()
    from benchmarks.soak.soaking import Soak

    with own_database():
        # From here on there is something to report; a second Ctrl-C does not wait for it.
        signal.signal(signal.SIGINT, lambda *_: _stop(stopping))
        return Soak(options.minutes * 60, options.rate, stopping).run()


def _stop(stopping: threading.Event) -> None:
    if stopping.is_set():
        raise KeyboardInterrupt
    stopping.set()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
