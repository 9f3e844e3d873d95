"""Measures this engine and other task queues side by side, in alternating runs.

Every queue is installed into an environment of its own and gets the same work: waiting tasks that
do nothing, and such that compute for 5 ms; two workers or what comes closest. PostgreSQL and Redis
are the harness's own; the former with durable commits.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import psycopg2

from benchmarks.figures import BenchError
from benchmarks.machine import Theft, describe_machine
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.chart import draw_chart
from benchmarks.peers.environments import Environment
from benchmarks.peers.peer import WORK_SECONDS, Peer
from benchmarks.peers.quiet import wait_until_quiet
from benchmarks.peers.results import NAME, RESULTS, WORK_NAME, Result, save
from benchmarks.peers.runs import drain, singles
from benchmarks.peers.stores import Stores, redis_server
from benchmarks.peers.table import write_tables
from tools.embedded_postgres import EmbeddedPostgresError, embedded_postgres
from tools.leaving import leave_on_sigterm

LEAST_TASKS: Final = 100


def main() -> int:
    """Measure, write the results and their tables; return 0 when anything could be measured."""
    options = _parser().parse_args()
    leave_on_sigterm()
    names = options.peers.split(",") if options.peers else None
    chosen = [peer for peer in PEERS if names is None or peer.name in names]
    try:
        with embedded_postgres() as postgres, redis_server() as redis:
            report, work = _measured(chosen, Stores(postgres, redis), options)
    except EmbeddedPostgresError as error:
        print(f"No figures: {error}", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    save(report, options.output / NAME)
    save(work, options.output / WORK_NAME)
    print(write_tables(report, work, options.output))
    draw_chart(report, options.output / "peers.png")
    if options.output == RESULTS:
        print("The README shows these figures after: python -m benchmarks.peers.table")
    return int(not any(result["drains"] for result in report["results"]))


def _parser() -> argparse.ArgumentParser:
    known = ", ".join(peer.name for peer in PEERS)
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    parser.add_argument("--peers", metavar="NAME,NAME", help=f"only these of: {known}")
    parser.add_argument("--rounds", type=int, default=2, help="drains of each (%(default)s)")
    parser.add_argument("--tasks", type=int, default=10_000, help="of a drain (%(default)s)")
    parser.add_argument(
        "--works", type=int, default=1_000, help="of a drain of tasks of 5 ms (%(default)s)"
    )
    parser.add_argument("--calls", type=int, default=500, help="single enqueues (%(default)s)")
    parser.add_argument("--pickups", type=int, default=60, help="(%(default)s)")
    parser.add_argument(
        "--patience",
        type=float,
        default=5,
        metavar="SECONDS",
        help="wait so long before a drain while others keep the machine busy (%(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="few tasks: does everything run?")
    parser.add_argument(
        "--output", type=Path, default=RESULTS, metavar="DIRECTORY", help="default: %(default)s"
    )
    return parser


def _measured(
    peers: Sequence[Peer], stores: Stores, options: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the reports of tasks that do nothing and of those that compute."""
    if options.quick:
        options.tasks, options.works, options.rounds = 500, LEAST_TASKS, 1
        options.calls, options.pickups = 20, 3
    began, theft, patience = time.monotonic(), Theft(), options.patience
    results = [Result(peer=peer, variant=each) for peer in peers for each in peer.variants]
    versions = _install(results)
    for number in range(options.rounds):
        # There and back: whatever changes with time then hits all alike.
        for result in results if number % 2 == 0 else reversed(results):
            _attempt([result], partial(_take_drain, result, stores, options.tasks, patience))
            _attempt([result], partial(_take_work, result, stores, options.works, patience))
    for result in results:
        _attempt([result], partial(_take_singles, result, stores, options))
    about = {
        "machine": {**describe_machine(), **stores.describe()},
        "quick": options.quick,
        "rounds": options.rounds,
        "seconds": time.monotonic() - began,
        "stolen": theft.share,
        "versions": versions,
    }
    return (
        {**about, "results": [result.to_json() for result in results]},
        {**about, "results": [result.work_to_json() for result in results]},
    )


def _install(results: Sequence[Result]) -> dict[str, dict[str, str]]:
    versions: dict[str, dict[str, str]] = {}
    for peer in dict.fromkeys(result.peer.name for result in results):
        own = [result for result in results if result.peer.name == peer]
        _attempt(own, partial(_install_one, own[0].peer, versions))
    return versions


def _install_one(peer: Peer, versions: dict[str, dict[str, str]]) -> None:
    place = Environment(peer)
    place.install()
    versions[peer.name] = place.versions()


def _take_drain(result: Result, stores: Stores, tasks: int, patience: float) -> None:
    result.drains.append(_drained(result, stores, tasks, patience, 0))


def _take_work(result: Result, stores: Stores, tasks: int, patience: float) -> None:
    result.works.append(_drained(result, stores, tasks, patience, WORK_SECONDS))


def _drained(
    result: Result, stores: Stores, tasks: int, patience: float, work_seconds: float
) -> dict[str, float]:
    count = max(LEAST_TASKS, int(tasks * result.variant.share))
    busy = wait_until_quiet(patience)
    found = drain(Environment(result.peer), result.variant, stores, count, work_seconds)
    kind = f"tasks of {work_seconds * 1000:g} ms" if work_seconds else "tasks"
    _tell(result, f"{found.recorded:,.0f} tasks/s ({count} {kind})")
    return {**asdict(found), "busy": busy}


def _take_singles(result: Result, stores: Stores, options: argparse.Namespace) -> None:
    place, calls = Environment(result.peer), options.calls
    found = singles(place, result.variant, stores, calls, options.pickups)
    result.singles = asdict(found)
    _tell(result, f"picks up in {median(found.waits):.1f} ms, enqueues {found.enqueued:,.0f}/s")


def _attempt(results: Sequence[Result], take: Callable[[], None]) -> None:
    """Skip what has failed before; note why something fails now, so that the others go on."""
    if any(result.problem for result in results):
        return
    try:
        take()
    except (BenchError, OSError, ValueError, psycopg2.Error) as error:
        for result in results:
            result.problem = str(error).strip()
            _tell(result, f"NOT MEASURED: {error}")


def _tell(result: Result, what: str) -> None:
    print(f"{result.peer.name}, {result.variant.name}: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
