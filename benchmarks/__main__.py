"""Measures the engine and prints what it found: ``make bench`` and ``make bench-conditions``.

It starts a PostgreSQL of its own, with durable commits, unless a database is named, and measures on
SQLite as well. With ``--against TREE`` the package of another checkout is measured in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.figures import Figure
from benchmarks.measure import NAMES
from benchmarks.tables import as_text, engine_cells, turn_cells
from tools.embedded_postgres import EmbeddedPostgresError, embedded_postgres
from tools.leaving import leave_on_sigterm

ROOT: Final = Path(__file__).resolve().parent.parent
Section = dict[str, Any]
"""What one measuring process found: ``machine`` and ``figures``."""


class Profile(NamedTuple):
    """What is measured on which database."""

    postgresql: Sequence[str]
    sqlite: Sequence[str]


PROFILES: Final = {
    "bench": Profile(
        ("drain", "long-drain", "work", "orm", "enqueue", "pickup", "idle"), ("drain", "orm")
    ),
    "conditions": Profile(
        (
            *("beside", "held", "polling", "idle", "queues", "flows"),
            *("output", "checkpoints", "concurrency"),
        ),
        ("drain", "long-drain", "enqueue", "pickup", "idle"),
    ),
}


def main() -> int:
    """Measure, report, and return 0; with ``--check``, 1 when a target is missed."""
    options = _options()
    leave_on_sigterm()
    started = time.monotonic()
    try:
        sections = dict(_sections(options))
    except (EmbeddedPostgresError, subprocess.CalledProcessError) as error:
        print(f"No figures: {error}", file=sys.stderr)
        return 2
    report = {"quick": options.quick, "seconds": time.monotonic() - started, "databases": sections}
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    _print(report)
    figures = [Figure.from_json(each) for one in sections.values() for each in one["figures"]]
    return int(options.check and any(figure.verdict == "MISSED" for figure in figures))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("profile", choices=PROFILES)
    parser.add_argument("--only", metavar="NAME,NAME", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--no-sqlite", action="store_true", help="leave SQLite out")
    parser.add_argument("--database", metavar="URL", help="measure there, and nowhere else")
    parser.add_argument("--driver", choices=["psycopg2", "psycopg"], help="for PostgreSQL")
    parser.add_argument("--against", type=Path, metavar="TREE", help="measure its package in turn")
    parser.add_argument("--rounds", type=int, default=3, help="of it (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few tasks: does it run at all?")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single run there")
    options = parser.parse_args()
    options.only = options.only.split(",") if options.only else None
    if unknown := set(options.only or ()) - set(NAMES):
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    if options.driver == "psycopg" and find_spec("psycopg") is None:
        parser.error("psycopg 3 is not installed here: make it with DRIVER=psycopg")
    return options


def _sections(options: argparse.Namespace) -> Iterator[tuple[str, Section]]:
    """Yield the name of each database and what was found on it."""
    profile = PROFILES[options.profile]
    measures = [name for name in NAMES if name in (options.only or profile.postgresql)]
    named = options.database and contextlib.nullcontext(options.database)
    with named or embedded_postgres() as url:
        name = "SQLite" if url.startswith("sqlite") else "PostgreSQL"
        yield from _measured(name, url, measures, options)
    measures = [name for name in profile.sqlite if name in (options.only or NAMES)]
    if measures and not (options.database or options.no_sqlite):
        with tempfile.TemporaryDirectory(prefix="partisan-bench-") as directory:
            url = f"sqlite:///{directory}/unused.sqlite3"
            yield from _measured("SQLite", url, measures, options)


def _measured(
    database: str, url: str, measures: Sequence[str], options: argparse.Namespace
) -> Iterator[tuple[str, Section]]:
    """Yield one section; two with ``--against``, whose measures took turns."""
    if options.against is None:
        yield database, _measure(url, measures, options, ROOT)
        return
    other, taken = f"{database}, {options.against.name}", dict[str, list[Section]]()
    with _tree(options.against) as theirs, _tree(ROOT) as ours:
        for number in range(options.rounds):
            turn = [(other, theirs), (database, ours)]
            for name, tree in turn if number % 2 == 0 else reversed(turn):
                taken.setdefault(name, []).append(_measure(url, measures, options, tree))
    for name, sections in taken.items():
        yield name, _merged(sections)


def _measure(url: str, measures: Sequence[str], options: argparse.Namespace, tree: Path) -> Section:
    """Measure in a process of its own: Django knows one database, and one package."""
    environment = {**os.environ, "PARTISAN_BENCH_DATABASE_URL": url, "PYTHONPATH": ""}
    if options.driver is not None:
        environment["PARTISAN_BENCH_DRIVER"] = options.driver
    scale = "quick" if options.quick else options.profile
    with tempfile.NamedTemporaryFile(prefix="partisan-bench-", suffix=".json") as output:
        command = [sys.executable, "-m", "benchmarks.measure", scale, ",".join(measures)]
        _run([*command, output.name], environment, tree)
        section: Section = json.loads(Path(output.name).read_text())
    return section


def _run(command: list[str], environment: dict[str, str], tree: Path) -> None:
    """Run a command to its end; when we are told to leave, let it clear up first."""
    process = subprocess.Popen(command, env=environment, cwd=tree)
    try:
        status = process.wait()
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):  # Ctrl-C reached it as well
            process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    if status != 0:
        raise subprocess.CalledProcessError(status, "benchmarks.measure")


@contextlib.contextmanager
def _tree(checkout: Path) -> Iterator[Path]:
    """Yield a directory from which Python takes a checkout's package, and these benchmarks."""
    with tempfile.TemporaryDirectory(prefix="partisan-bench-") as directory:
        for name, place in (("django_partisan", checkout), ("benchmarks", ROOT), ("tools", ROOT)):
            (Path(directory) / name).symlink_to(place.resolve(strict=True) / name)
        yield Path(directory)


def _merged(sections: Sequence[Section]) -> Section:
    """Return one section whose figures are the medians of several."""
    figures = []
    for found in zip(*(section["figures"] for section in sections), strict=True):
        runs = [run for figure in found for run in figure["runs"]]
        value = statistics.median(figure["value"] for figure in found)
        figures.append({**found[0], "value": value, "runs": runs})
    return {"machine": sections[-1]["machine"], "figures": figures}


def _print(report: dict[str, Any]) -> None:
    for database, section in report["databases"].items():
        print(f"\n{database}, 2 workers\n\n{as_text(engine_cells(section))}")
        print("\n".join(f"  {name}: {value}" for name, value in section["machine"].items()))
    for cells in turn_cells(report["databases"]):
        print(f"\n{as_text(cells)}")
    if report["quick"]:
        print("A quick run shows that the measures work; its figures mean nothing.")
    print(f"Measured in {report['seconds']:.0f} s.")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
