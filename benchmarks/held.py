"""Steady work while another session holds a transaction open, so that nothing can be vacuumed.

Every row that a queue updates leaves a dead one behind. While a transaction that is older than it
stays open, each claim may have to step over all of them: a queue slows down block by block.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db import connection

from benchmarks.drain import check_once
from benchmarks.engine import Engine, running_engine
from benchmarks.figures import Figure, Target
from benchmarks.producer import Producer
from benchmarks.rows import Rows, clear, fill, tidy
from benchmarks.scale import Scale
from benchmarks.tally import Tally

BLOCKS: Final = 6
TARGET: Final = Target(bound=0.85, is_maximum=False)
RECOVERED: Final = Target(bound=0.95, is_maximum=False)
LONGEST_SECONDS: Final = 120
"""For all blocks together; the last one is then as long as it got."""
MOST_PER_SECOND: Final = 60_000
"""No engine here is faster: room for the tasks of the time after the transaction."""


@dataclass(frozen=True, kw_only=True)
class _Variant:
    name: str
    holds: bool
    produces: bool


VARIANTS: Final = (
    _Variant(name="producers running, no transaction open", holds=False, produces=True),
    _Variant(name="transaction held open, producers running", holds=True, produces=True),
    _Variant(name="transaction held open, drain", holds=True, produces=False),
)


def measure(scale: Scale) -> Iterator[Figure]:
    """Time six blocks of ``scale.block`` tasks, without and with a transaction held open."""
    free: float | None = None
    for variant in VARIANTS:
        after = scale.aftermath_seconds if variant.holds and variant.produces else 0
        figures = list(_measure(variant, scale.block, after))
        yield from figures
        rates = [figure.value for figure in figures if ": block" in figure.measure]
        if free is None:
            free = statistics.median(rates)
        else:
            # The first block may be slow already: it ends with that many dead rows.
            name = f"{variant.name}: last block / median without"
            yield Figure.of_runs(name, [rates[-1] / free], "times")


def _measure(variant: _Variant, block: int, after_seconds: float) -> Iterator[Figure]:
    clear()
    stored = 0 if variant.produces else (BLOCKS + 2) * block
    if stored:
        fill(Rows(count=stored))
        tidy()
    room = (BLOCKS + 2) * block + int(MOST_PER_SECOND * max(after_seconds, 1))
    with Tally(room) as tally:
        with running_engine() as engine, contextlib.ExitStack() as stack:
            if variant.produces:
                stack.enter_context(Producer(tally, chunk=block // 2, most=room))
            watch = _Watch(tally, engine)
            watch.block(block // 5)  # the start of everything does not count
            with _transaction() if variant.holds else contextlib.nullcontext():
                rates = list(_rates(watch, block))
            yield from _block_figures(variant.name, rates)
            if after_seconds:
                yield from _aftermath(watch, block, rates[0], after_seconds)
        check_once(tally)


@contextlib.contextmanager
def _transaction() -> Iterator[None]:
    """Hold a transaction open in a session of its own, as a report or a dump does."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT 1")  # which takes the snapshot
        yield
    finally:
        other.close()


class _Watch:
    """Reads the tally while the engine works."""

    def __init__(self, tally: Tally, engine: Engine) -> None:
        self._tally = tally
        self._engine = engine

    def block(self, tasks: int, deadline: float = float("inf")) -> float:
        """Return tasks per second of the next so many tasks, or of those until the deadline."""
        begin, started = self._tally.ran(), time.monotonic()
        self._engine.wait_until(
            lambda: self._tally.ran() >= begin + tasks or time.monotonic() >= deadline,
            "the end of a block",
            seconds=2 * LONGEST_SECONDS,
            pause=0.01,
        )
        return (self._tally.ran() - begin) / (time.monotonic() - started)


def _rates(watch: _Watch, block: int) -> Iterator[float]:
    deadline = time.monotonic() + LONGEST_SECONDS
    for _ in range(BLOCKS):
        if time.monotonic() < deadline:
            yield watch.block(block, deadline)


def _block_figures(name: str, rates: list[float]) -> Iterator[Figure]:
    for number, rate in enumerate(rates, 1):
        yield Figure.of_runs(f"{name}: block {number}", [rate], "tasks/s")
    yield Figure(
        measure=f"{name}: last block / first",
        value=rates[-1] / rates[0],
        unit="times",
        runs=[rate / rates[0] for rate in rates],
        target=TARGET,
    )


def _aftermath(watch: _Watch, block: int, first: float, seconds: float) -> Iterator[Figure]:
    """Tell whether, and how soon after the transaction's end, a block is as fast as the first."""
    started, rates = time.monotonic(), list[float]()
    while time.monotonic() < started + seconds and not _is_recovered(rates, first):
        rates.append(watch.block(block, started + seconds))
    ratios = [rate / first for rate in rates]
    spent = time.monotonic() - started
    name = "after the transaction's end"
    yield Figure(
        measure=f"{name}: best block / first",
        value=max(ratios),
        unit="times",
        runs=ratios,
        target=RECOVERED,
    )
    yield Figure.of_runs(f"{name}: watched for", [spent], "s")


def _is_recovered(rates: list[float], first: float) -> bool:
    return bool(rates) and RECOVERED.is_met_by(rates[-1] / first)
