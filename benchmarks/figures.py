"""What a measure says: a figure with its spread, and the target that it is held to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple, Self


class BenchError(RuntimeError):
    """A measure could not be taken, or what was measured did not do its work right."""


class Target(NamedTuple):
    """A bound that the project has set itself."""

    bound: float
    is_maximum: bool

    def __str__(self) -> str:
        return f"{'≤' if self.is_maximum else '≥'} {readable(self.bound)}"


class Figure(NamedTuple):
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
        return cls(measure, statistics.median(runs), unit, runs, target)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Return the figure that :meth:`to_json` stored."""
        target = stored["target"] and Target(**stored["target"])
        return cls(**{**stored, "target": target})

    def to_json(self) -> dict[str, Any]:
        """Return the figure as plain values."""
        return {**self._asdict(), "target": self.target and self.target._asdict()}

    @property
    def verdict(self) -> str:
        """Say whether the target is met; nothing without a target."""
        if self.target is None:
            return ""
        bound, is_maximum = self.target
        return "met" if (self.value <= bound if is_maximum else self.value >= bound) else "MISSED"

    @property
    def spread(self) -> str:
        """Return the smallest and the largest run, nothing when there was one run only."""
        if len(self.runs) <= 1:
            return ""
        return f"{readable(min(self.runs))} … {readable(max(self.runs))}"


def ratio(
    measure: str, ours: Sequence[float], theirs: Sequence[float], target: Target | None = None
) -> Figure:
    """Return the ratio of what was measured in pairs.

    That of one pair swings with the machine; the median is what a target is about.
    """
    pairs = [one / other for one, other in zip(ours, theirs, strict=True)]
    return Figure.of_runs(measure, pairs, "times", target)


def readable(value: float) -> str:
    """Return a number with about three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
