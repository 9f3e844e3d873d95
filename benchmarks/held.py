"""Steady work while another session holds a transaction open, so that nothing can be vacuumed.

Every row that a queue updates leaves a dead one behind. While a transaction that is older than it
stays open, each claim may have to step over all of them: a queue slows down block by block.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
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

    @property
    def has_aftermath(self) -> bool:
        """Whether the time after the transaction's end is watched, too."""
        return self.holds and self.produces


VARIANTS: Final = (
    _Variant(name="producers running, no transaction open", holds=False, produces=True),
    _Variant(name="transaction held open, producers running", holds=True, produces=True),
    _Variant(name="transaction held open, drain", holds=True, produces=False),
)


@dataclass(frozen=True, kw_only=True)
class _Round:
    rates: Sequence[float]
    """Tasks per second, block by block."""
    after: Sequence[float]
    """Of the blocks after the transaction's end, until one was as fast as the first."""
    after_seconds: float


def measure(scale: Scale) -> Iterator[Figure]:
    """Time six blocks of tasks, without and with a transaction held open, in turn."""
    rounds: dict[_Variant, list[_Round]] = {variant: [] for variant in VARIANTS}
    for _ in range(scale.runs):
        for variant in VARIANTS:
            rounds[variant].append(_round(variant, scale))
    free = statistics.median(rate for each in rounds[VARIANTS[0]] for rate in each.rates)
    for variant, taken in rounds.items():
        yield from _block_figures(variant.name, taken)
        if variant.has_aftermath:
            yield from _aftermath_figures(taken)
        if variant.holds:
            # The first block may be slow already: it ends with that many dead rows.
            name = f"{variant.name}: last block / median without"
            yield Figure.of_runs(name, [each.rates[-1] / free for each in taken], "times")


def _round(variant: _Variant, scale: Scale) -> _Round:
    block, seconds = scale.block, scale.aftermath_seconds if variant.has_aftermath else 0
    clear()
    stored = 0 if variant.produces else (BLOCKS + 2) * block
    if stored:
        fill(Rows(count=stored))
        tidy()
    room = (BLOCKS + 2) * block + int(MOST_PER_SECOND * max(seconds, 1))
    with Tally(room) as tally:
        with running_engine() as engine, contextlib.ExitStack() as stack:
            if variant.produces:
                stack.enter_context(Producer(tally, chunk=block // 2, most=room))
            watch = _Watch(tally, engine)
            watch.block(block // 5)  # the start of everything does not count
            with _transaction() if variant.holds else contextlib.nullcontext():
                rates = list(_rates(watch, block))
            started = time.monotonic()
            after = list(_aftermath(watch, block, rates[0], started + seconds))
            spent = time.monotonic() - started
        check_once(tally)
    return _Round(rates=rates, after=after, after_seconds=spent)


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


def _aftermath(watch: _Watch, block: int, first: float, deadline: float) -> Iterator[float]:
    """Yield the rates of blocks until one is as fast as the first, or time is up."""
    rate = 0.0
    while time.monotonic() < deadline and not RECOVERED.is_met_by(rate / first):
        yield (rate := watch.block(block, deadline))


def _block_figures(name: str, taken: Sequence[_Round]) -> Iterator[Figure]:
    for number, rates in enumerate(zip(*(each.rates for each in taken), strict=False), 1):
        yield Figure.of_runs(f"{name}: block {number}", list(rates), "tasks/s")
    ratios = [each.rates[-1] / each.rates[0] for each in taken]
    yield Figure.of_runs(f"{name}: last block / first", ratios, "times", TARGET)


def _aftermath_figures(taken: Sequence[_Round]) -> Iterator[Figure]:
    """Tell whether, and how soon after the transaction's end, a block is as fast as the first."""
    name = "after the transaction's end"
    best = [max(each.after) / each.rates[0] for each in taken]
    yield Figure.of_runs(f"{name}: best block / first", best, "times", RECOVERED)
    spent = [each.after_seconds for each in taken]
    yield Figure.of_runs(f"{name}: watched for", spent, "s")
