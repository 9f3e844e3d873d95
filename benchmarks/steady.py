"""Steady state: writers enqueue one by one while a manager with two workers runs the tasks.

With and without notification are no equals here, so no ratio is promised: with it the tasks run at
once, on the same CPUs as their writers; without, in large batches up to half a second later.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.drain import check_once
from benchmarks.engine import running_engine, wait_until_serving
from benchmarks.figures import BenchError, Figure
from benchmarks.rows import clear
from benchmarks.settings import NOTIFY_VARIABLE
from benchmarks.tally import Tally
from benchmarks.writers import (
    COUNTS,
    Writers,
    compared,
    count_of_writers,
    in_turn,
    running_writers,
)

MOST_PER_SECOND: Final = 20_000
"""No writers here are faster: room in the tally."""


@dataclass(frozen=True, kw_only=True)
class _Run:
    rate: float
    backlog: int


def measure(seconds: float, pairs: int) -> Iterator[Figure]:
    """Let 1 and 8 writers enqueue for so long, with and without notification in turn."""
    with running_writers() as writers:
        for count in COUNTS:
            runs: dict[bool, list[_Run]] = {True: [], False: []}
            for notify in in_turn(pairs):
                runs[notify].append(_run(writers, count, seconds, notify=notify))
            name = f"{count_of_writers(count)} beside a busy manager"
            rates = {notify: [run.rate for run in each] for notify, each in runs.items()}
            yield from compared(name, rates)
            for notify, words in ((True, "with notification"), (False, "without")):
                backlogs = [float(run.backlog) for run in runs[notify]]
                yield Figure.of_runs(f"{name}: backlog at the end, {words}", backlogs, "tasks")


def _run(writers: Writers, count: int, seconds: float, *, notify: bool) -> _Run:
    clear()
    os.environ[NOTIFY_VARIABLE] = "on" if notify else "off"
    with Tally(int(MOST_PER_SECOND * max(seconds, 1) * count)) as tally:
        with running_engine() as engine:
            wait_until_serving(engine)
            accepted = writers.enqueue(count, seconds, notify=notify)
            backlog = accepted - tally.ran()
            engine.wait_until(lambda: tally.ran() >= accepted, "the last task")
        if check_once(tally) != accepted:
            raise BenchError(f"{accepted} tasks were accepted, {dict(tally.runs())} ran.")
    return _Run(rate=accepted / seconds, backlog=backlog)
