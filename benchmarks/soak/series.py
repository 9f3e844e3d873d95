"""What is watched over time, and the rule that each series is held to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

LEAST_MINUTES: Final = 8
"""In a shorter run a quarter holds too few rounds of recycling, pruning and autovacuum to tell."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How far the last quarter of a series may be above its second one; the first is warm-up."""

    of_quarter: Callable[[Sequence[float]], float]
    limit: Callable[[float], float]
    """Returns the highest value that still counts as flat."""
    words: str


MEMORY: Final = Rule(
    of_quarter=statistics.median,
    limit=lambda before: min(1.05 * before, before + 2),
    words="median, ≤ + 5 %, + 2 MB",
)
STEADY: Final = Rule(
    of_quarter=statistics.median, limit=lambda before: before, words="median, no growth"
)
BOUNDED: Final = Rule(of_quarter=max, limit=lambda before: 1.25 * before, words="maximum, ≤ + 25 %")
BACKLOG: Final = Rule(
    of_quarter=statistics.median,
    limit=lambda before: before + 100,
    words="median, ≤ + 100",
)


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of the picture; with a rule, also one of the table, where ``label`` names it."""

    name: str
    panel: str
    title: str
    label: str = ""
    rule: Rule | None = None


_MEMORY: Final = "memory (RSS), MB"
_FILES: Final = "file descriptors and processes"
_ROWS: Final = "rows"
_SIZE: Final = "size, MB"
_BACKLOG: Final = "backlog, tasks"
_THROUGHPUT: Final = "throughput, tasks/s"
_PICKUP: Final = "pick-up, ms"

SERIES: Final = (
    Series(
        name="manager_rss",
        panel=_MEMORY,
        title="manager",
        label="memory of the manager, MB",
        rule=MEMORY,
    ),
    Series(
        name="launcher_rss",
        panel=_MEMORY,
        title="launcher",
        label="memory of the launcher, MB",
        rule=MEMORY,
    ),
    Series(
        name="worker_rss",
        panel=_MEMORY,
        title="worker, mean",
        label="memory of a worker, MB",
        rule=BOUNDED,
    ),
    Series(name="all_pss", panel=_MEMORY, title="all, shared out (PSS)"),
    Series(
        name="manager_fds",
        panel=_FILES,
        title="manager",
        label="file descriptors of the manager",
        rule=STEADY,
    ),
    Series(
        name="launcher_fds",
        panel=_FILES,
        title="launcher",
        label="file descriptors of the launcher",
        rule=STEADY,
    ),
    Series(
        name="worker_fds",
        panel=_FILES,
        title="worker, median",
        label="file descriptors of a worker",
        rule=STEADY,
    ),
    Series(name="processes", panel=_FILES, title="processes", label="processes", rule=STEADY),
    Series(name="dead_rows", panel=_ROWS, title="dead", label="dead rows", rule=BOUNDED),
    Series(name="rows", panel=_ROWS, title="tasks", label="tasks in the table", rule=BOUNDED),
    Series(
        name="table_mb",
        panel=_SIZE,
        title="tables with indexes",
        label="tables with indexes, MB",
        rule=BOUNDED,
    ),
    Series(
        name="waiting",
        panel=_BACKLOG,
        title="due and waiting",
        label="tasks due and waiting",
        rule=BACKLOG,
    ),
    Series(name="in_process", panel=_BACKLOG, title="in process"),
    Series(name="ended_per_second", panel=_THROUGHPUT, title="ended"),
    Series(name="pickup_p50", panel=_PICKUP, title="p50"),
    Series(name="pickup_p99", panel=_PICKUP, title="p99"),
)

Columns = dict[str, list[float | None]]
"""The values of each series by its name, and ``seconds``: one for each sample, None if unknown."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one series."""

    series: Series
    before: float
    after: float

    @property
    def limit(self) -> float:
        """The highest value that the last quarter may have."""
        assert self.series.rule is not None
        return self.series.rule.limit(self.before)

    @property
    def is_flat(self) -> bool:
        """Whether the last quarter keeps to it."""
        return self.after <= self.limit


def verdicts(columns: Columns) -> list[Verdict]:
    """Hold every series that has a rule and enough samples to it."""
    return [
        Verdict(series=series, before=of[0], after=of[1])
        for series in SERIES
        if series.rule is not None and (of := _quarters(series.rule, columns, series.name))
    ]


def _quarters(rule: Rule, columns: Columns, name: str) -> tuple[float, float] | None:
    seconds = [moment or 0.0 for moment in columns["seconds"]]
    if not seconds:
        return None
    quarter = seconds[-1] / 4
    pairs = [(s, v) for s, v in zip(seconds, columns[name], strict=True) if v is not None]
    second = [value for moment, value in pairs if quarter <= moment < 2 * quarter]
    last = [value for moment, value in pairs if moment >= 3 * quarter]
    return (rule.of_quarter(second), rule.of_quarter(last)) if second and last else None
