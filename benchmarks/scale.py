"""How much of everything the measures do: enough to mean something, or just enough to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The sizes of all measures."""

    tasks: int
    many_tasks: int
    beside_tasks: int
    """For drains that should take longer than the noise of the machine, many times over."""
    works: int
    runs: int
    calls: int
    pairs: int
    pickups: int
    idle_seconds: float
    million: int
    """How many rows stand for a million of them."""
    block: int
    """Tasks in one of the blocks while a transaction is held open; many more than run in 10 ms."""
    aftermath_seconds: float
    writer_seconds: float


_BENCH: Final = Scale(
    tasks=10_000,
    many_tasks=100_000,
    beside_tasks=30_000,
    works=600,
    runs=5,
    calls=200,
    pairs=10,
    pickups=200,
    idle_seconds=10,
    million=1_000_000,
    block=25_000,
    aftermath_seconds=60,
    writer_seconds=2,
)
_CONDITIONS: Final = Scale(
    **{
        **vars(_BENCH),
        "runs": 3,
        "pairs": 7,
        "pickups": 100,
        "idle_seconds": 40,
    }
)
_QUICK: Final = Scale(
    tasks=200,
    many_tasks=400,
    beside_tasks=400,
    works=50,
    runs=1,
    calls=10,
    pairs=1,
    pickups=5,
    idle_seconds=1,
    million=1_000,
    block=2_000,
    aftermath_seconds=1,
    writer_seconds=0.1,
)
SCALES: Final = {"bench": _BENCH, "conditions": _CONDITIONS, "quick": _QUICK}
