"""The report as a person reads it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, readable

_STYLES = {"met": "green", "MISSED": "bold red"}
WIDTH = 110
"""Of the report where it goes into a file: there is no terminal to ask."""


def print_report(report: dict[str, Any]) -> None:
    """Print what was measured, and with what."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    for database, section in report["databases"].items():
        console.print(_table(database, section["figures"]))
        for name, value in section["machine"].items():
            console.print(f"  {name}: {value}", highlight=False)
    if report["quick"]:
        console.print("A quick run shows that the measures work; its figures mean nothing.")
    console.print(f"Measured in {report['seconds']:.0f} s.", highlight=False)


def _table(database: str, figures: list[dict[str, Any]]) -> Table:
    table = Table(title=f"{database}, 2 workers", title_justify="left")
    table.add_column("measure")
    table.add_column("median", justify="right")
    table.add_column("unit")
    table.add_column("min … max", justify="right")
    table.add_column("target")
    for stored in figures:
        table.add_row(*_cells(Figure.from_json(stored)))
    return table


def _cells(figure: Figure) -> list[str]:
    verdict, style = figure.verdict, _STYLES.get(figure.verdict, "none")
    target = "" if figure.target is None else f"{figure.target} [{style}]{verdict}[/{style}]"
    return [figure.measure, readable(figure.value), figure.unit, figure.spread, target]
