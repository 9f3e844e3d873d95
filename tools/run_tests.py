"""Runs the suite once per database.

That is SQLite, the embedded PostgreSQL, and every server in PARTISAN_TEST_DATABASE_URLS (comma
separated), without the tests that start a PostgreSQL of their own: the embedded run has them.
``python -m tools.run_tests [--only WORDS] [pytest's arguments]``; WORDS picks runs by a
part of their name: "sqlite,postgres".
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
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

import django

from tools.embedded_postgres import embedded_postgres
from tools.leaving import leave_on_sigterm

URLS_VARIABLE = "PARTISAN_TEST_DATABASE_URLS"
URL_VARIABLE = "PARTISAN_TEST_DATABASE_URL"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One pass over the suite; without a URL, the settings choose a new SQLite file."""

    name: str
    url: str | None = None
    is_embedded: bool = False


def main() -> int:
    """Run everything, whatever fails, and return 1 when anything did."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--only", default="", help="comma separated words; a run whose name holds one is kept"
    )
    options, pytest_arguments = parser.parse_known_args()
    leave_on_sigterm()  # so that the server stops and its directories go
    # A shell's background jobs ignore SIGINT, and pytest would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runs = [run for run in _runs() if _is_wanted(run, options.only)]
    has_embedded = any(run.is_embedded for run in runs)
    results = [
        (run.name, *_perform(run, [*pytest_arguments, *_left_out(run, has_embedded)]))
        for run in runs
    ]
    _print_summary(results)
    return int(not results or any(status for _, status, _ in results))


def _runs() -> Iterator[Run]:
    yield Run(name="sqlite")
    yield Run(name="postgres (embedded)", is_embedded=True)
    for url in filter(None, map(str.strip, os.environ.get(URLS_VARIABLE, "").split(","))):
        parts = urlsplit(url)
        yield Run(
            name=f"{parts.scheme} ({parts.hostname or 'socket'}:{parts.port or 5432})", url=url
        )


def _is_wanted(run: Run, words: str) -> bool:
    return not words or any(word.strip() in run.name for word in words.split(","))


def _left_out(run: Run, has_embedded: bool) -> list[str]:
    return ["--no_own_server"] if run.url is not None and has_embedded else []


def _perform(run: Run, arguments: list[str]) -> tuple[int, float]:
    title = (
        f"{run.name}, Python {platform.python_version()}, Django {django.__version__}, {_driver()}"
    )
    width = min(shutil.get_terminal_size().columns, 100)
    print(f"\n{f' {title} ':=^{width}}", flush=True)
    started = time.monotonic()
    with _database(run) as url:
        environment = {name: value for name, value in os.environ.items() if name != URL_VARIABLE}
        if url is not None:
            environment[URL_VARIABLE] = url
        status = _pytest(arguments, environment)
    return status, time.monotonic() - started


def _database(run: Run) -> contextlib.AbstractContextManager[str | None]:
    return embedded_postgres() if run.is_embedded else contextlib.nullcontext(run.url)


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
    for name, status, seconds in results:
        print(f"{'passed' if status == 0 else 'FAILED'}  {name}  {seconds:.0f} s")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
