"""Takes the measures on one database; ``bench.py`` runs it as a process of its own for each."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import django

if TYPE_CHECKING:
    from benchmarks.figures import Figure


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of everything the measures do."""

    tasks: int
    runs: int
    calls: int
    pairs: int
    pickups: int
    idle_seconds: float


FULL: Final = Scale(tasks=10_000, runs=5, calls=200, pairs=10, pickups=200, idle_seconds=10)
QUICK: Final = Scale(tasks=200, runs=1, calls=10, pairs=2, pickups=5, idle_seconds=1)


def main() -> None:
    """Measure on the database that the environment names, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measures", required=True, help="comma separated")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", required=True, type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _leave)  # so that managers stop and the database goes
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    with _own_database():
        from benchmarks.machine import describe_database, describe_machine

        scale = QUICK if options.quick else FULL
        figures = [figure.to_json() for figure in _figures(options.measures.split(","), scale)]
        report = {**describe_machine(), **describe_database()}
    options.output.write_text(json.dumps({"machine": report, "figures": figures}))


@contextlib.contextmanager
def _own_database() -> Iterator[None]:
    """Make an empty database beside the named one, and leave that one alone."""
    from django.db import connection

    from benchmarks.settings import DATABASE_VARIABLE
    from tools.database_urls import database_url

    former = connection.settings_dict["NAME"]
    name = connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    # Managers are told by the environment.
    os.environ[DATABASE_VARIABLE] = database_url(connection.settings_dict, name)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(former, verbosity=0)


def _figures(measures: list[str], scale: Scale) -> Iterator[Figure]:
    from benchmarks import drain, enqueue, idle, pickup

    takes = {
        "drain": lambda: drain.measure(scale.tasks, scale.runs),
        "enqueue": lambda: enqueue.measure(scale.calls, scale.pairs, scale.tasks, scale.runs),
        "pickup": lambda: pickup.measure(scale.pickups),
        "idle": lambda: idle.measure(scale.idle_seconds),
    }
    for measure in measures:
        print(f"measuring {measure} ...", file=sys.stderr, flush=True)
        yield from takes[measure]()


def _leave(signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    main()
