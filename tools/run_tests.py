"""Runs the suite side by side: once without a database, and once on each database.

The databases are SQLite, the embedded PostgreSQL, and every server in PARTISAN_TEST_DATABASE_URLS
(comma separated). ``python -m tools.run_tests [--end WORD] [--extent WORD] [--only WORDS]
[pytest's arguments]``

The two ends of the version range share the work. Tests that start processes take turns, by a number
made of their name. With ``--extent once`` each of them, and of those in ``integration/``, runs
once, on SQLite at the oldest end or on PostgreSQL at the newest; with ``--extent pairs`` each runs
once on each database and once at each end. Without an extent, or named, every run is
whole. ``--only`` picks runs by a part of their name: "sqlite,postgres". pytest's ``-n0`` lets tests
run one after another.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import django

from tools.embedded_postgres import embedded_postgres
from tools.leaving import leave_on_sigterm

URLS_VARIABLE = "PARTISAN_TEST_DATABASE_URLS"
URL_VARIABLE = "PARTISAN_TEST_DATABASE_URL"


# Hundreds of processes load the project: compiled anew by each, that would take a fifth longer.
UNWANTED = {URL_VARIABLE, "PYTHONDONTWRITEBYTECODE"}
CORES = os.cpu_count() or 1
NOTHING_FOUND = 5  # pytest's exit code when no test fits its arguments

TESTS = Path(__file__).resolve().parents[1] / "tests"
UNIT = ("unit",)
DEAR = ("processes", "faults", "soak", "browser")
EMBEDDED = "postgres (embedded)"

# Nobody crashes this server: the tests of faults have one of their own.
CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One pass over the suite or a part of it, which names folders of ``tests/``.

    Without a URL, the settings choose a new SQLite file.
    """

    name: str
    url: str | None = None
    is_embedded: bool = False
    only: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    turn: str = ""
    """Which half of the tests that start processes it has: "even" or "odd"; "" is all of them."""
    is_alone: bool = False
    """Whether no other run has its database: it keeps what needs this one, whatever its turn."""

    def includes(self, path: Path) -> bool:
        """Say whether what stands below this path, or in this file, may belong to it."""
        if path in (TESTS, *TESTS.parents):
            return True
        kind = path.relative_to(TESTS).parts[0] if TESTS in path.parents else ""
        return kind in self.only if self.only else kind not in self.left_out

    def is_concerned(self, given: Sequence[str]) -> bool:
        """Say whether pytest's arguments name anything that may belong to it, or no path at all."""
        paths = list(filter(None, map(_path, given)))
        return not paths or any(map(self.includes, paths))

    def arguments(self, given: Sequence[str]) -> list[str]:
        """Return pytest's arguments, the given ones last, so that they are the stronger ones."""
        own = ["-n", str(self._workers), "--durations=15", "--durations-min=5"]
        own += [f"--ignore={TESTS / kind}" for kind in self.left_out]
        paths = [each for each in given if _path(each) is not None]
        if self.turn and not paths and "-k" not in given:
            own += [f"--turn={self.turn}", *["--alone"] * self.is_alone]
        options = [each for each in given if each not in paths]
        chosen = [each for each in paths if (path := _path(each)) and self.includes(path)]
        if self.only and not any(TESTS in Path(each).resolve().parents for each in chosen):
            chosen = [str(TESTS / kind) for kind in self.only]
        return [*own, *options, *chosen]

    @property
    def _workers(self) -> int:
        """Most tests with a database wait most of the time."""
        return CORES if self.only == UNIT else 2 * CORES


def main() -> int:
    """Run everything, whatever fails, and return 1 when anything did."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--end", choices=["oldest", "newest"], default="oldest")
    parser.add_argument("--extent", choices=["once", "pairs", "all"], default="all")
    parser.add_argument(
        "--only", default="", help="comma separated words; a run whose name holds one is kept"
    )
    options, pytest_arguments = parser.parse_known_args()
    leave_on_sigterm()  # so that the server stops and its directories go
    # A shell's background jobs ignore SIGINT, and pytest would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runs = [
        run
        for run in planned_runs(options.end, options.extent)
        if _is_named(run, options.only) and run.is_concerned(pytest_arguments)
    ]
    results = [(run.name, *_perform(run, run.arguments(pytest_arguments))) for run in runs]
    _print_summary(results)
    statuses = {status for _, status, _ in results} - {NOTHING_FOUND}
    return int(statuses != {0})


def planned_runs(end: str, extent: str) -> Iterator[Run]:
    """Yield the runs of an end of the version range."""
    yield Run(name="no database", only=UNIT)
    if extent == "once":
        yield from _once(end)
    elif extent == "pairs":
        yield from _in_pairs(end)
    else:
        yield Run(name="sqlite", left_out=UNIT)
        yield Run(name=EMBEDDED, is_embedded=True, left_out=UNIT)
        yield from _named_servers(left_out=UNIT)


def _once(end: str) -> Iterator[Run]:
    if end == "oldest":
        yield Run(name="sqlite", left_out=UNIT, turn="even", is_alone=True)
        # What the oldest driver does beside the processes' own work; they have the newest one.
        yield Run(name=EMBEDDED, is_embedded=True, left_out=(*UNIT, "integration", *DEAR))
    else:
        name = EMBEDDED
        yield Run(name=name, is_embedded=True, left_out=UNIT, turn="odd", is_alone=True)


def _in_pairs(end: str) -> Iterator[Run]:
    fewer = (*UNIT, "integration")
    if end == "oldest":
        yield Run(name="sqlite", left_out=UNIT, turn="even")
        servers = list(_named_servers(left_out=fewer, turn="odd"))
        yield from servers or [Run(name=EMBEDDED, is_embedded=True, left_out=fewer, turn="odd")]
    else:
        yield Run(name="sqlite", left_out=fewer, turn="odd")
        yield Run(name=EMBEDDED, is_embedded=True, left_out=UNIT, turn="even")


def _named_servers(*, left_out: tuple[str, ...], turn: str = "") -> Iterator[Run]:
    for url in filter(None, map(str.strip, os.environ.get(URLS_VARIABLE, "").split(","))):
        parts = urlsplit(url)
        name = f"{parts.scheme} ({parts.hostname or 'socket'}:{parts.port or 5432})"
        yield Run(name=name, url=url, left_out=left_out, turn=turn)


def _is_named(run: Run, words: str) -> bool:
    return not words or any(word.strip() in run.name for word in words.split(","))


def _path(argument: str) -> Path | None:
    """Return the file or folder that an argument of pytest's names, if it does."""
    path = Path(argument.partition("::")[0])
    return path.resolve() if not argument.startswith("-") and path.exists() else None


def _perform(run: Run, arguments: list[str]) -> tuple[int, float]:
    title = (
        f"{run.name}, Python {platform.python_version()}, Django {django.__version__}, {_driver()}"
    )
    width = min(shutil.get_terminal_size().columns, 100)
    print(f"\n{f' {title} ':=^{width}}", flush=True)
    started = time.monotonic()
    with _database(run) as url:
        environment = {name: value for name, value in os.environ.items() if name not in UNWANTED}
        if url is not None:
            environment[URL_VARIABLE] = url
        status = _pytest(arguments, environment)
    return status, time.monotonic() - started


def _database(run: Run) -> contextlib.AbstractContextManager[str | None]:
    if run.is_embedded:
        return embedded_postgres(settings=CARELESS)
    return contextlib.nullcontext(run.url)


def _pytest(arguments: list[str], environment: dict[str, str]) -> int:
    process = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], env=environment)
    try:
        return process.wait()
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):  # Ctrl-C reached pytest as well
            process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        process.wait()
        raise


def _driver() -> str:
    for name in (
        "psycopg",
        "psycopg2-binary",
        "psycopg2",
    ):  # Django takes psycopg 3 where there is one
        with contextlib.suppress(PackageNotFoundError):
            return f"{name} {version(name)}"
    return "no PostgreSQL driver"


def _print_summary(results: list[tuple[str, int, float]]) -> None:
    print()
    words = {0: "passed", NOTHING_FOUND: "no test"}
    for name, status, seconds in results:
        print(f"{words.get(status, 'FAILED')}  {name}  {seconds:.0f} s")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
