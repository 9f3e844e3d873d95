"""What the commands share: options, a measuring process for each database, and the report."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figure
from benchmarks.publishing import publish
from benchmarks.report import print_report
from tools.embedded_postgres import EmbeddedPostgresError
from tools.leaving import leave_on_sigterm

ROOT: Final = Path(__file__).resolve().parent.parent

Section = tuple[str, dict[str, Any]]
"""A database's name, and what :func:`measured` returned for it."""


def parser(program: str, description: str | None, names: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser of the options that every command has; ``names`` are its measures."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--database", metavar="URL", help="measure on this server instead")
    parser.add_argument("--driver", choices=["psycopg2", "psycopg"], help="for PostgreSQL")
    parser.add_argument(
        "--only", default=",".join(names), metavar="WORDS", help="default: %(default)s"
    )
    parser.add_argument("--quick", action="store_true", help="few tasks: does it run at all?")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    parser.add_argument(
        "--publish",
        action="store_true",
        help="write figures, table and chart for the documentation into benchmarks/results/",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser


def run(
    options: argparse.Namespace, measure: Callable[[argparse.Namespace], Iterator[Section]]
) -> int:
    """Measure, report, and return 0; with ``--check``, 1 when a target is missed."""
    leave_on_sigterm()
    if options.driver == "psycopg" and find_spec("psycopg") is None:
        print("psycopg 3 is not installed here: make it with DRIVER=psycopg", file=sys.stderr)
        return 2
    started = time.monotonic()
    try:
        sections = dict(measure(options))
    except (EmbeddedPostgresError, subprocess.CalledProcessError) as error:
        print(f"No figures: {error}", file=sys.stderr)
        return 2
    report = {"quick": options.quick, "seconds": time.monotonic() - started, "databases": sections}
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if options.publish:
        publish(Path(sys.argv[0]).stem, report)
    print_report(report)
    return int(options.check and bool(_missed(sections)))


def measured(
    url: str, measures: Sequence[str], scale: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Return machine and figures as a process of its own found them: Django knows one database."""
    environment = {**os.environ, "PARTISAN_BENCH_DATABASE_URL": url}
    if options.driver is not None:
        environment["PARTISAN_BENCH_DRIVER"] = options.driver
    scale = "quick" if options.quick else scale
    with tempfile.NamedTemporaryFile(prefix="partisan-bench-", suffix=".json") as output:
        command = [sys.executable, "-m", "benchmarks.measure", f"--measures={','.join(measures)}"]
        _run([*command, f"--scale={scale}", f"--output={output.name}"], environment)
        measured: dict[str, Any] = json.loads(Path(output.name).read_text())
    return measured


@contextlib.contextmanager
def sqlite_file() -> Iterator[str]:
    """Yield the URL of an SQLite file in a directory that goes with the block."""
    with tempfile.TemporaryDirectory(prefix="partisan-bench-") as directory:
        yield f"sqlite:///{directory}/unused.sqlite3"


def _run(command: list[str], environment: dict[str, str]) -> None:
    """Run a command to its end; when we are told to leave, let it clear up first."""
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    try:
        status = process.wait()
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):  # Ctrl-C reached it as well
            process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    if status != 0:
        raise subprocess.CalledProcessError(status, "benchmarks.measure")


def _missed(sections: dict[str, dict[str, Any]]) -> list[str]:
    figures = [Figure.from_json(each) for one in sections.values() for each in one["figures"]]
    return [figure.measure for figure in figures if figure.verdict == "MISSED"]
