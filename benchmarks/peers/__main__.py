"""Measures this engine and other task queues side by side, in alternating runs.

Every queue is installed into an environment of its own and gets the same work: waiting tasks that
do nothing, and such that compute for 5 ms; two workers or what comes closest. PostgreSQL and Redis
are the harness's own; the former with durable commits.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import psycopg2

from benchmarks.figures import BenchError
from benchmarks.machine import Theft, describe_machine
from benchmarks.peers.catalogue import PEERS, WORK_SECONDS, Peer, Variant
from benchmarks.peers.runs import drain, install, singles
from benchmarks.peers.stores import Stores
from benchmarks.tables import as_text, peers_cells
from tools.embedded_postgres import EmbeddedPostgresError, embedded_postgres
from tools.leaving import leave_on_sigterm
from tools.published import QUIET, RESULTS

Report = dict[str, Any]


class Amount(NamedTuple):
    """How much is measured."""

    rounds: int = 2
    tasks: int = 10_000
    works: int = 1_000
    """Tasks of a drain that compute for 5 ms."""
    calls: int = 500
    pickups: int = 60
    patience: float = 5
    """Seconds to wait before a drain while others keep the machine busy."""


QUICK: Final = Amount(rounds=1, tasks=500, works=100, calls=20, pickups=3, patience=0)
LEAST_TASKS: Final = 100


class Result:
    """Everything that one variant of one queue showed so far, or why it shows nothing."""

    def __init__(self, peer: Peer, variant: Variant) -> None:
        self.peer = peer
        self.variant = variant
        self.drains: dict[float, list[dict[str, float]]] = {0: [], WORK_SECONDS: []}
        self.singles: dict[str, Any] | None = None
        self.problem: str | None = None

    def attempt(self, take: Callable[[], str]) -> None:
        """Skip what has failed before; note why something fails now, so that the others go on."""
        if self.problem is not None:
            return
        try:
            told = take()
        except (BenchError, OSError, ValueError, psycopg2.Error) as error:
            self.problem = str(error).strip()
            told = f"NOT MEASURED: {error}"
        print(f"{self.peer.name}, {self.variant.name}: {told}", file=sys.stderr, flush=True)

    def install(self, versions: dict[str, Mapping[str, str]]) -> str:
        """Install it, and take note of the versions of what decides its figures."""
        if self.peer.name not in versions:
            versions[self.peer.name] = install(self.peer)
        return "installed"

    def drain(self, stores: Stores, tasks: int, seconds: float, patience: float) -> str:
        """Have it drain tasks of so many seconds."""
        count, busy = max(LEAST_TASKS, int(tasks * self.peer.share)), _busy(patience)
        found = drain(self.peer, self.variant, stores, count, seconds)
        self.drains[seconds].append({**found, "busy": busy})
        return f"{found['recorded']:,.0f} tasks/s ({count} tasks of {seconds * 1000:g} ms)"

    def take_singles(self, stores: Stores, amount: Amount) -> str:
        """Have it enqueue tasks one by one, and pick up others."""
        self.singles = singles(self.peer, self.variant, stores, amount.calls, amount.pickups)
        return f"enqueues {self.singles['enqueued']:,.0f}/s"

    def to_json(self, seconds: float) -> Report:
        """Return what it showed of tasks of so many seconds, as plain values."""
        return {
            "queue": self.peer.name,
            "variant": self.variant.name,
            "store": self.variant.store,
            "settings": self.variant.says,
            "runs tasks in": self.peer.isolation,
            "drains": self.drains[seconds],
            "singles": None if seconds else self.singles,
            "problem": self.problem,
        }


def main() -> int:
    """Measure, write the results, print a table; return 0 when anything could be measured."""
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    known = [peer.name for peer in PEERS]
    parser.add_argument("--peers", default=",".join(known), help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few tasks: does everything run?")
    parser.add_argument("--output", type=Path, metavar="DIRECTORY", help="of peers*.json")
    options = parser.parse_args()
    leave_on_sigterm()
    peers = [peer for peer in PEERS if peer.name in options.peers.split(",")]
    results = [Result(peer, variant) for peer in peers for variant in peer.variants]
    try:
        with embedded_postgres() as postgres:
            about = _measure(results, Stores(postgres), QUICK if options.quick else Amount())
    except EmbeddedPostgresError as error:
        print(f"No figures: {error}", file=sys.stderr)
        return 2
    report, work = [
        {**about, "quick": options.quick, "results": [each.to_json(seconds) for each in results]}
        for seconds in (0, WORK_SECONDS)
    ]
    for name, found in (("peers", report), ("peers_work", work)):
        if directory := options.output or (None if options.quick else RESULTS):
            (directory / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(as_text(peers_cells(report, work)))
    if options.quick:
        print("A quick run shows that the queues run; its figures mean nothing.")
    return int(not any(result["drains"] for result in report["results"]))


def _measure(results: list[Result], stores: Stores, amount: Amount) -> Report:
    """Have all take their measures in turn; return how and with what that was done."""
    began, theft, versions = time.monotonic(), Theft(), dict[str, Mapping[str, str]]()
    machine = {**describe_machine(), **stores.describe()}
    for result in results:
        result.attempt(partial(result.install, versions))
    for number in range(amount.rounds):
        # There and back: whatever changes with time then hits all alike.
        for result in results if number % 2 == 0 else reversed(results):
            for tasks, seconds in ((amount.tasks, 0), (amount.works, WORK_SECONDS)):
                result.attempt(partial(result.drain, stores, tasks, seconds, amount.patience))
    for result in results:
        result.attempt(partial(result.take_singles, stores, amount))
    return {
        "machine": machine,
        "rounds": amount.rounds,
        "seconds": time.monotonic() - began,
        "stolen": theft.share,
        "versions": versions,
    }


def _busy(patience: float) -> float:
    """Wait so many seconds for a quiet machine; return the share of the CPU in use at the end."""
    deadline = time.monotonic() + patience
    while True:
        busy = psutil.cpu_percent(0.3) / 100
        if busy <= QUIET or time.monotonic() > deadline:
            return busy


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
