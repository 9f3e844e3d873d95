"""Steady work while another session holds a transaction open, so that nothing can be vacuumed.

Every row that a queue updates leaves a dead one behind. While a transaction that is older than it
stays open, each claim may have to step over all of them: a queue slows down block by block.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from django.db import connection

from benchmarks.bench_app.partisan_tasks import UniqueNoop
from benchmarks.drain import check_once
from benchmarks.engine import Engine, running_engine
from benchmarks.figures import BenchError, Figure, Target
from benchmarks.measure import Scale
from benchmarks.rows import Rows, clear, fill, tidy
from tools.ledger import Runs

BLOCKS: Final = 6
TARGET: Final = Target(0.85, is_maximum=False)
LONGEST_SECONDS: Final = 120
"""For all blocks together; the last one is then as long as it got."""
PAUSE_SECONDS: Final = 0.01


class _Variant(NamedTuple):
    name: str
    holds: bool
    produces: bool


VARIANTS: Final = (
    _Variant("producers running, no transaction open", holds=False, produces=True),
    _Variant("transaction held open, producers running", holds=True, produces=True),
    _Variant("transaction held open, drain", holds=True, produces=False),
)


def measure(scale: Scale) -> Iterator[Figure]:
    """Time six blocks of tasks, without and with a transaction held open, in turn."""
    taken: dict[_Variant, list[list[float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(scale.runs):
        for variant, rounds in taken.items():
            rounds.append(_rates(variant, scale.block))
    free = statistics.median(rate for rates in taken[VARIANTS[0]] for rate in rates)
    for (name, holds, _), rounds in taken.items():
        for number, rates in enumerate(zip(*rounds, strict=False), 1):
            yield Figure.of_runs(f"{name}: block {number}", rates, "tasks/s")
        ratios = [rates[-1] / rates[0] for rates in rounds]
        yield Figure.of_runs(f"{name}: last block / first", ratios, "times", TARGET)
        if holds:
            # The first block may be slow already: it ends with that many dead rows.
            ratios = [rates[-1] / free for rates in rounds]
            yield Figure.of_runs(f"{name}: last block / median without", ratios, "times")


def _rates(variant: _Variant, block: int) -> list[float]:
    """Return tasks per second, block by block."""
    room = (BLOCKS + 3) * block
    clear()
    if not variant.produces:
        fill(Rows(count=room))
        tidy()
    with Runs.create(room) as runs:
        with running_engine() as engine, contextlib.ExitStack() as stack:
            if variant.produces:
                stack.enter_context(_producer(runs, chunk=block // 2, most=room))
            _block(engine, runs, block // 5)  # the start of everything does not count
            if variant.holds:
                stack.enter_context(_transaction())
            deadline = time.monotonic() + LONGEST_SECONDS
            rates = [
                _block(engine, runs, block, deadline)
                for _ in range(BLOCKS)
                if time.monotonic() < deadline
            ]
        check_once(runs)
    return rates


def _block(engine: Engine, runs: Runs, tasks: int, deadline: float = float("inf")) -> float:
    """Return tasks per second of the next so many tasks, or of those until the deadline."""
    begin, started = runs.ran(), time.monotonic()
    engine.wait_until(
        lambda: runs.ran() >= begin + tasks or time.monotonic() >= deadline,
        "the end of a block",
        seconds=2 * LONGEST_SECONDS,
        pause=0.01,
    )
    return (runs.ran() - begin) / (time.monotonic() - started)


@contextlib.contextmanager
def _transaction() -> Iterator[None]:
    """Hold a transaction open in a session of its own, as a report or a dump does."""
    with contextlib.closing(connection.copy()) as other:
        with other.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT 1")  # which takes the snapshot
        yield


@contextlib.contextmanager
def _producer(runs: Runs, *, chunk: int, most: int) -> Iterator[None]:
    """Keep a backlog beside the block: a chunk whenever fewer than two wait, ``most`` in all."""
    stopping, errors = threading.Event(), list[Exception]()

    def produce() -> None:
        try:
            _produce(runs, chunk, most, stopping)
        except Exception as error:  # noqa: BLE001  # raised where the block ends
            errors.append(error)
        finally:
            connection.close()  # this thread's own

    thread = threading.Thread(target=produce, name="producer")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
    if errors:
        raise BenchError("The producer failed") from errors[0]


def _produce(runs: Runs, chunk: int, most: int, stopping: threading.Event) -> None:
    stored = 0
    while not stopping.is_set():
        if stored - runs.ran() >= 2 * chunk or stored + chunk > most:
            stopping.wait(PAUSE_SECONDS)
            continue
        fill(Rows(count=chunk - 1, first=stored))
        stored += chunk
        UniqueNoop(stored - 1).delay()  # which tells the manager of all of them
