"""What was measured: collected while measuring, kept as JSON, summarised for tables and chart."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.peer import Peer, Variant

RESULTS: Final = Path(__file__).resolve().parents[1] / "results"
NAME: Final = "peers.json"
WORK_NAME: Final = "peers_work.json"
"""The same kind of report, of tasks that compute."""
OURS: Final = "django-partisan"
QUIET: Final = 0.15
"""The share of the CPU in use up to which a machine passes for quiet."""


@dataclass(kw_only=True)
class Result:
    """Everything that one variant of one queue showed so far, or why it shows nothing."""

    peer: Peer
    variant: Variant
    drains: list[dict[str, Any]] = field(default_factory=list)
    works: list[dict[str, Any]] = field(default_factory=list)
    """Drains of tasks that compute."""
    singles: dict[str, Any] | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "queue": self.peer.name,
            "variant": self.variant.name,
            "store": self.variant.store,
            "settings": self.variant.says,
            "runs tasks in": self.peer.isolation,
            "drains": self.drains,
            "singles": self.singles,
            "problem": self.problem,
        }

    def work_to_json(self) -> dict[str, Any]:
        """Return what it showed of tasks that compute, as plain values."""
        return {**self.to_json(), "drains": self.works, "singles": None}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One variant as tables and chart show it; medians, nothing where nothing was measured."""

    queue: str
    variant: str
    store: str
    settings: str
    isolation: str
    problem: str | None
    tasks: int
    recorded: Sequence[float]
    run: float | None
    bulk: float | None
    enqueued: float | None
    waits: tuple[float, float, float] | None
    """p50, p95 and p99 in milliseconds."""

    @property
    def rate(self) -> float | None:
        """Return the median of the drains, in tasks per second."""
        return statistics.median(self.recorded) if self.recorded else None

    @property
    def is_ours(self) -> bool:
        """Say whether this is this project."""
        return self.queue.startswith(OURS)

    @property
    def is_default(self) -> bool:
        """Say whether nothing was tuned."""
        return self.variant.startswith("default")


def save(report: Mapping[str, Any], path: Path) -> None:
    """Write a report where :func:`load` finds it."""
    path.write_text(json.dumps(report, indent=1) + "\n")


def load(path: Path) -> dict[str, Any]:
    """Return a report that was saved."""
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def rows(report: Mapping[str, Any]) -> Iterator[Row]:
    """Summarise each variant of a report, in its order."""
    for result in report["results"]:
        drains, singles = result["drains"], result["singles"]
        yield Row(
            queue=result["queue"],
            variant=result["variant"],
            store=result["store"],
            settings=result["settings"],
            isolation=result["runs tasks in"],
            problem=result["problem"],
            tasks=drains[0]["tasks"] if drains else 0,
            recorded=[drain["recorded"] for drain in drains],
            run=_median(drains, "run"),
            bulk=_median(drains, "bulk"),
            enqueued=singles and singles["enqueued"],
            waits=singles and _percentiles(singles["waits"]),
        )


def _median(drains: Sequence[Mapping[str, float]], name: str) -> float | None:
    return statistics.median(drain[name] for drain in drains) if drains else None


def _percentiles(waits: Sequence[float]) -> tuple[float, float, float]:
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]
