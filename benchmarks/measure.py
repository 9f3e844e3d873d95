"""Takes measures on one database, in a process of its own: ``measure SCALE NAMES OUTPUT``."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import django

from tools.leaving import leave_on_sigterm

if TYPE_CHECKING:
    from benchmarks.figures import Figure

NAMES: Final = (
    *("drain", "long-drain", "work", "orm", "enqueue", "pickup", "idle"),
    *("beside", "aside", "held", "polling", "queues", "flows"),
    *("output", "checkpoints", "concurrency"),
)


class Scale(NamedTuple):
    """How much of everything is done: enough to mean something, or just enough to run."""

    tasks: int = 10_000
    many_tasks: int = 100_000
    beside_tasks: int = 30_000
    """For drains that should take longer than the noise of the machine, many times over."""
    waiting_tasks: int = 1_000
    printed_mib: int = 1_024
    works: int = 600
    orm_tasks: int = 3_000
    runs: int = 5
    calls: int = 200
    pairs: int = 10
    pickups: int = 200
    idle_seconds: float = 10
    million: int = 1_000_000
    """How many rows stand for a million of them."""
    block: int = 25_000
    """Tasks in one block while a transaction is held open; many more than run in 10 ms."""


SCALES: Final = {
    "bench": Scale(),
    "conditions": Scale(runs=3, pairs=7, pickups=100, idle_seconds=40),
    "quick": Scale(
        tasks=200,
        many_tasks=400,
        beside_tasks=400,
        waiting_tasks=50,
        printed_mib=8,
        works=50,
        orm_tasks=50,
        runs=1,
        calls=10,
        pairs=1,
        pickups=5,
        idle_seconds=1,
        million=1_000,
        block=2_000,
    ),
}


def main() -> None:
    """Measure on the database that the environment names, and write the figures as JSON."""
    scale, names, output = sys.argv[1:]
    leave_on_sigterm()  # so that managers stop and the database goes
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    with _own_database():
        from benchmarks.machine import Theft, describe_database, describe_machine

        machine, theft = {**describe_machine(), **describe_database()}, Theft()
        figures = [figure.to_json() for figure in _figures(names.split(","), SCALES[scale])]
        machine["CPU withheld by the host"] = f"{theft.share:.0%}"
    Path(output).write_text(json.dumps({"machine": machine, "figures": figures}))


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


def _figures(names: list[str], scale: Scale) -> Iterator[Figure]:
    from benchmarks import (
        aside,
        beside,
        checkpoints,
        concurrency,
        drain,
        enqueue,
        flows,
        held,
        idle,
        orm,
        output,
        pickup,
        queues,
        work,
    )

    takes: dict[str, Callable[[Scale], Iterator[Figure]]] = {
        "drain": drain.measure,
        "long-drain": drain.measure_many,
        "work": work.measure,
        "orm": orm.measure,
        "enqueue": enqueue.measure,
        "pickup": pickup.measure,
        "idle": idle.measure,
        "beside": beside.measure,
        "aside": aside.measure,
        "held": held.measure,
        "polling": pickup.measure_polling,
        "queues": queues.measure,
        "flows": flows.measure,
        "output": output.measure,
        "checkpoints": checkpoints.measure,
        "concurrency": concurrency.measure,
    }
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        yield from takes[name](scale)


if __name__ == "__main__":
    main()
