"""What a measure says: a figure with its spread, and the target that it is held to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self


class BenchError(RuntimeError):
    """A measure could not be taken, or what was measured did not do its work right."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A bound that the project has set itself."""

    bound: float
    is_maximum: bool

    def is_met_by(self, value: float) -> bool:
        """Say whether a value keeps to the bound."""
        return value <= self.bound if self.is_maximum else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.is_maximum else '≥'} {readable(self.bound)}"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the report: the median of several runs, and the runs themselves."""

    measure: str
    value: float
    unit: str
    runs: Sequence[float]
    target: Target | None = None

    @classmethod
    def of_runs(
        cls, measure: str, runs: Sequence[float], unit: str, target: Target | None = None
    ) -> Self:
        """Return the figure whose value is the median of ``runs``."""
        value = statistics.median(runs)
        return cls(measure=measure, value=value, unit=unit, runs=runs, target=target)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Return the figure that :meth:`to_json` stored."""
        target = stored["target"] and Target(**stored["target"])
        return cls(**{**stored, "target": target})

    def to_json(self) -> dict[str, Any]:
        """Return the figure as plain values."""
        return asdict(self)

    @property
    def verdict(self) -> str:
        """Say whether the target is met; nothing without a target."""
        if self.target is None:
            return ""
        return "met" if self.target.is_met_by(self.value) else "MISSED"

    @property
    def spread(self) -> str:
        """Return the smallest and the largest run, nothing when there was one run only."""
        if len(self.runs) <= 1:
            return ""
        return f"{readable(min(self.runs))} … {readable(max(self.runs))}"


def readable(value: float) -> str:
    """Return a number with about three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
