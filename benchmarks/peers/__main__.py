"""Measures this engine and other task queues side by side, in alternating runs.

Every queue is installed into an environment of its own and gets the same work: waiting tasks that
do nothing, that compute for 5 ms, or that read and write a row through Django's ORM; two workers or
what comes closest. PostgreSQL and Redis are the harness's own; the former with durable commits.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import psycopg2

from benchmarks.figures import BenchError
from benchmarks.machine import Theft, describe_machine
from benchmarks.peers.catalogue import PEERS, Peer, Variant, Work
from benchmarks.peers.runs import drain, install, singles
from benchmarks.peers.stores import Stores
from benchmarks.tables import as_text, orm_cells, peers_cells
from tools.embedded_postgres import EmbeddedPostgresError, embedded_postgres
from tools.leaving import leave_on_sigterm
from tools.published import QUIET, RESULTS

Report = dict[str, Any]


class Amount(NamedTuple):
    """How much is measured."""

    rounds: int = 2
    nothing: int = 10_000
    """Tasks of a drain that do nothing, and so on."""
    compute: int = 1_000
    orm: int = 3_000
    calls: int = 500
    pickups: int = 60
    patience: float = 5
    """Seconds to wait before a drain while others keep the machine busy."""


QUICK: Final = Amount(rounds=1, nothing=500, compute=100, orm=300, calls=20, pickups=3, patience=0)
LEAST_TASKS: Final = 100
FILES: Final[dict[Work, str]] = {"nothing": "peers", "compute": "peers_work", "orm": "peers_orm"}


class Result:
    """Everything that one variant of one queue showed so far, or why it shows nothing."""

    def __init__(self, peer: Peer, variant: Variant) -> None:
        self.peer = peer
        self.variant = variant
        self.drains: dict[Work, list[dict[str, float]]] = {work: [] for work in FILES}
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

    def drain(self, stores: Stores, amount: Amount, work: Work) -> str:
        """Have it drain tasks of a kind."""
        tasks: int = getattr(amount, work)
        count, busy = max(LEAST_TASKS, int(tasks * self.peer.share)), _busy(amount.patience)
        found = drain(self.peer, self.variant, stores, count, work)
        self.drains[work].append({**found, "busy": busy})
        return f"{found['recorded']:,.0f} tasks/s ({count} tasks, {work})"

    def take_singles(self, stores: Stores, amount: Amount) -> str:
        """Have it enqueue tasks one by one, and pick up others."""
        self.singles = singles(self.peer, self.variant, stores, amount.calls, amount.pickups)
        return f"enqueues {self.singles['enqueued']:,.0f}/s"

    def to_json(self, work: Work) -> Report:
        """Return what it showed of tasks of a kind, as plain values."""
        return {
            "queue": self.peer.name,
            "variant": self.variant.name,
            "store": self.variant.store,
            "settings": self.variant.says,
            "runs tasks in": self.peer.isolation,
            "drains": self.drains[work],
            "singles": self.singles if work == "nothing" else None,
            "problem": self.problem,
        }


def main() -> int:
    """Measure, write the results, print a table; return 0 when anything could be measured."""
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    known = [peer.name for peer in PEERS]
    parser.add_argument("--peers", default=",".join(known), help="default: %(default)s")
    parser.add_argument("--only", default=",".join(FILES), help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few tasks: does everything run?")
    parser.add_argument("--output", type=Path, metavar="DIRECTORY", help="of peers*.json")
    options = parser.parse_args()
    leave_on_sigterm()
    works = [work for work in FILES if work in options.only.split(",")]
    peers = [peer for peer in PEERS if peer.name in options.peers.split(",")]
    results = [Result(peer, variant) for peer in peers for variant in peer.variants]
    try:
        with embedded_postgres() as postgres:
            amount = QUICK if options.quick else Amount()
            about = {**_measure(results, Stores(postgres), amount, works), "quick": options.quick}
    except EmbeddedPostgresError as error:
        print(f"No figures: {error}", file=sys.stderr)
        return 2
    reports = {work: {**about, "results": [one.to_json(work) for one in results]} for work in FILES}
    for work in works:
        if directory := options.output or (None if options.quick else RESULTS):
            (directory / f"{FILES[work]}.json").write_text(
                json.dumps(reports[work], indent=1) + "\n"
            )
    if "nothing" in works:
        print(as_text(peers_cells(reports["nothing"], reports["compute"])))
    print(as_text(orm_cells(reports["orm"])))
    if options.quick:
        print("A quick run shows that the queues run; its figures mean nothing.")
    return int(not any(one.drains[work] for one in results for work in works))


def _measure(
    results: list[Result], stores: Stores, amount: Amount, works: Sequence[Work]
) -> Report:
    """Have all take their measures in turn; return how and with what that was done."""
    began, theft, versions = time.monotonic(), Theft(), dict[str, Mapping[str, str]]()
    machine = {**describe_machine(), **stores.describe()}
    for result in results:
        result.attempt(partial(result.install, versions))
    for number in range(amount.rounds):
        # There and back: whatever changes with time then hits all alike.
        for result in results if number % 2 == 0 else reversed(results):
            for work in works:
                result.attempt(partial(result.drain, stores, amount, work))
    for result in results if "nothing" in works else ():
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
