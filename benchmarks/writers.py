"""Writers: how fast one and eight processes enqueue at once, with and without notification."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from benchmarks.engine import ROOT
from benchmarks.figures import BenchError, Figure, Target
from benchmarks.rows import clear
from django_partisan.models import Task

TARGET: Final = Target(bound=0.9, is_maximum=False)
MOST: Final = 8
COUNTS: Final = (1, MOST)


class Writers:
    """Processes that wait for orders, so that their start is no part of a measure."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def enqueue(self, count: int, seconds: float, *, notify: bool, atomic: bool = False) -> int:
        """Have the first ``count`` call ``.delay()`` for so long; return how many were accepted.

        Their tasks' arguments are numbers, none of them twice, from 0 on.
        """
        writers = self._processes[:count]
        for first, process in enumerate(writers):
            order = {"seconds": seconds, "notify": notify, "atomic": atomic}
            _send(process, json.dumps({**order, "first": first, "step": count}))
        return sum(int(_answer(process)) for process in writers)


@contextlib.contextmanager
def running_writers() -> Iterator[Writers]:
    """Start the writers, and end them with the block."""
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_process()) for _ in range(MOST)]
        for process in processes:
            _answer(process)
        yield Writers(processes)


def measure(seconds: float, pairs: int) -> Iterator[Figure]:
    """Let writers enqueue while no manager works, with and without notification in turn."""
    with running_writers() as writers:
        for count in COUNTS:
            for atomic in (False, True):
                place = "in a transaction" if atomic else "outside"
                name = f".delay(), {count_of_writers(count)}, {place}"
                rates: dict[bool, list[float]] = {True: [], False: []}
                for notify in in_turn(pairs):
                    clear()
                    accepted = writers.enqueue(count, seconds, notify=notify, atomic=atomic)
                    _check_stored(accepted)
                    rates[notify].append(accepted / seconds)
                yield from compared(name, rates, TARGET if count == MOST else None)


def in_turn(pairs: int) -> Iterator[bool]:
    """Yield True and False so many times, now one first, now the other."""
    for pair in range(pairs):
        yield from (True, False) if pair % 2 else (False, True)


def compared(
    name: str, rates: dict[bool, list[float]], target: Target | None = None
) -> Iterator[Figure]:
    """Yield the rates with and without notification, and their ratio, which has the target."""
    ratios = [on / off for on, off in zip(rates[True], rates[False], strict=True)]
    yield Figure.of_runs(f"{name}: with notification", rates[True], "calls/s")
    yield Figure.of_runs(f"{name}: without", rates[False], "calls/s")
    yield Figure(
        measure=f"{name}: with / without",
        value=statistics.median(ratios),
        unit="times",
        runs=ratios,
        target=target,
    )


def count_of_writers(count: int) -> str:
    """Return the number of writers in words."""
    return f"{count} writer" if count == 1 else f"{count} writers"


def _check_stored(accepted: int) -> None:
    if Task.objects.count() != accepted:
        raise BenchError(f"{accepted} calls of .delay() stored {Task.objects.count()} tasks.")


def _process() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.writer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def _send(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    print(line, file=process.stdin, flush=True)


def _answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    answer = process.stdout.readline()
    if not answer:
        raise BenchError("A writer ended; its own words are above.")
    return answer
