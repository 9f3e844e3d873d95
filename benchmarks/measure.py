"""Takes the measures on one database; ``bench.py`` runs it as a process of its own for each."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import django

from benchmarks.scale import SCALES, Scale
from tools.leaving import leave_on_sigterm

if TYPE_CHECKING:
    from benchmarks.figures import Figure


def main() -> None:
    """Measure on the database that the environment names, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measures", required=True, help="comma separated")
    parser.add_argument("--scale", choices=SCALES, required=True)
    parser.add_argument("--output", required=True, type=Path)
    options = parser.parse_args()
    leave_on_sigterm()  # so that managers stop and the database goes
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    with own_database():
        from benchmarks.machine import Theft, describe_database, describe_machine

        report, theft = {**describe_machine(), **describe_database()}, Theft()
        scale = SCALES[options.scale]
        figures = [figure.to_json() for figure in _figures(options.measures.split(","), scale)]
        report["CPU withheld by the host"] = f"{theft.share:.0%}"
    options.output.write_text(json.dumps({"machine": report, "figures": figures}))


@contextlib.contextmanager
def own_database() -> Iterator[None]:
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
    from benchmarks import (
        beside,
        drain,
        enqueue,
        held,
        idle,
        memory,
        pickup,
        sizes,
        steady,
        wal,
        work,
        writers,
    )

    takes: dict[str, Callable[[], Iterator[Figure]]] = {
        "drain": lambda: drain.measure(scale),
        "long-drain": lambda: drain.measure_many(scale),
        "work": lambda: work.measure(scale.works, min(scale.runs, drain.FEW_RUNS)),
        "enqueue": lambda: enqueue.measure(scale.calls, scale.pairs, scale.tasks, scale.runs),
        "pickup": lambda: pickup.measure(scale.pickups),
        "idle": lambda: idle.measure(scale.idle_seconds),
        "beside": lambda: beside.measure(scale),
        "held": lambda: held.measure(scale),
        "steady": lambda: steady.measure(scale.writer_seconds * 2, max(1, scale.pairs // 2)),
        "writers": lambda: writers.measure(scale.writer_seconds, scale.pairs),
        "sizes": lambda: sizes.measure(scale),
        "polling": lambda: pickup.measure_polling(scale.pickups),
        "memory": lambda: memory.measure(scale.tasks),
        "wal": lambda: wal.measure(scale.tasks, scale.runs),
    }
    for measure in measures:
        print(f"measuring {measure} ...", file=sys.stderr, flush=True)
        yield from takes[measure]()


if __name__ == "__main__":
    main()
