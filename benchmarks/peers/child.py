"""The part of a measure that runs in the environment of the queue; it needs nothing but Python.

The harness runs it as a process: ``child.py ACTION ARGUMENT...``. Its last line is a JSON value.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from benchmarks.peers.drivers import told
from tools.ledger import own_runs

WARM_UP: Final = 5
PICKUP_SECONDS: Final = 20


def main() -> None:
    """Do what the command line says."""
    action, *arguments = sys.argv[1:]
    if action == "versions":
        found: Any = {name: version(name) for name in arguments}
    else:
        # What a queue prints while it is used shall not mix with the answer.
        with contextlib.redirect_stdout(sys.stderr):
            name = f"benchmarks.peers.drivers.{os.environ['PEER_DRIVER']}"
            found = ACTIONS[action](importlib.import_module(name), *map(float, arguments))
    print(json.dumps(found), flush=True)


def fill(driver: Any, tasks: float) -> float:
    """Make what must exist, enqueue the first ``tasks`` tasks; return the seconds that took."""
    if told()["work"] == "orm":
        from django.core.management import call_command

        from benchmarks.bench_app.models import fill_rows

        call_command("migrate", run_syncdb=True, verbosity=0)
        fill_rows()
    if hasattr(driver, "prepare"):
        driver.prepare()
    begin = time.monotonic()
    if tasks:
        driver.enqueue_many(range(int(tasks)))
    return time.monotonic() - begin


def written(_: Any) -> int:
    """Return how often tasks have written a row."""
    from benchmarks.bench_app.models import written

    return written()


def singles(driver: Any, tasks: float) -> float:
    """Enqueue the first ``tasks`` tasks one by one; return the seconds that took."""
    driver.enqueue_one(0)  # opens the connection
    begin = time.monotonic()
    for number in range(1, int(tasks)):
        driver.enqueue_one(number)
    return (time.monotonic() - begin) * tasks / (tasks - 1)


def watch(driver: Any, tasks: float, seconds: float) -> dict[str, int]:
    """Wait until every task has run and is recorded; return begin and end."""
    count, runs = int(tasks), own_runs()
    with contextlib.suppress(Exception):
        driver.is_recorded(count)  # opens the connection
    print("ready", file=sys.__stdout__, flush=True)  # workers may start: nothing slows them now
    deadline = time.monotonic() + seconds
    _wait(lambda: runs.have_all_run(count), deadline, 0.002)
    _wait(lambda: driver.is_recorded(count), deadline, 0.001)
    recorded = time.monotonic_ns()
    first = min(runs.moment(number) for number in range(count))
    return {"first": first, "recorded": recorded}


def pickups(driver: Any, first: float, tasks: float, pause: float) -> list[float]:
    """Enqueue one task after the other for idle workers; return how many ms each waited."""
    waits = []
    for number in range(int(first), int(first + tasks) + WARM_UP):
        begin = time.monotonic_ns()
        driver.enqueue_one(number)
        _wait(partial(own_runs().moment, number), time.monotonic() + PICKUP_SECONDS, 0.002)
        waits.append((own_runs().moment(number) - begin) / 1e6)
        # At any moment of the pause that an idle worker makes.
        time.sleep(0.03 + random.uniform(0, pause))
    return waits[WARM_UP:]


def _wait(condition: Callable[[], object], deadline: float, pause: float) -> None:
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("The tasks did not come to their end in time.")
        time.sleep(pause)


ACTIONS: Final[dict[str, Callable[..., Any]]] = {
    action.__name__: action for action in (fill, written, singles, watch, pickups)
}

if __name__ == "__main__":
    main()
