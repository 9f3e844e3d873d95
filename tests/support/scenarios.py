"""What became of each scenario of faults, and the table that `make faults` ends with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pytest
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from tests.support.ledger import Book


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One test's figures; ``recovery`` is the slowest one, in seconds."""

    name: str
    faults: int
    tasks: int
    lost: int
    stuck: int
    stale: int
    recovery: float | None

    @classmethod
    def of(cls, name: str, book: Book) -> Self:
        """Return the figures of a test from its book."""
        kinds = [problem.kind.name for problem in book.problems]
        return cls(
            name=name.removeprefix("test_").replace("_", " "),
            faults=book.faults,
            tasks=len(set(book.ids)),
            lost=kinds.count("LOST"),
            stuck=kinds.count("STUCK"),
            stale=kinds.count("STALE"),
            recovery=max(book.recoveries, default=None),
        )


SCENARIOS = pytest.StashKey[list[Scenario]]()

_COLUMNS = ("faults", "tasks", "lost", "stuck", "stale", "slowest")


def print_summary(scenarios: list[Scenario]) -> None:
    """Print a row for each scenario and one for all."""
    if not scenarios:
        return
    table = Table(
        title="Faults, tasks run, what broke the rule, slowest recovery", show_footer=True
    )
    table.add_column("scenario", footer="all of them", overflow="fold")
    cells = [_cells(scenario) for scenario in (*scenarios, _total(scenarios))]
    for name, footer in zip(_COLUMNS, cells.pop(), strict=True):
        table.add_column(name, justify="right", footer=footer)
    for scenario, row in zip(scenarios, cells, strict=True):
        is_bad = scenario.lost or scenario.stuck or scenario.stale
        table.add_row(scenario.name, *row, style="red" if is_bad else None)
    Console(width=100).print(table)


def _cells(scenario: Scenario) -> list[str]:
    numbers = (scenario.faults, scenario.tasks, scenario.lost, scenario.stuck, scenario.stale)
    recovery = "" if scenario.recovery is None else f"{scenario.recovery:.2f} s"
    return [*(f"{number:,}" for number in numbers), recovery]


def _total(scenarios: list[Scenario]) -> Scenario:
    return Scenario(
        name="all",
        faults=sum(scenario.faults for scenario in scenarios),
        tasks=sum(scenario.tasks for scenario in scenarios),
        lost=sum(scenario.lost for scenario in scenarios),
        stuck=sum(scenario.stuck for scenario in scenarios),
        stale=sum(scenario.stale for scenario in scenarios),
        recovery=max((s.recovery for s in scenarios if s.recovery is not None), default=None),
    )
