"""What a soak has shown: a table for a terminal, one for the documentation, figures, a picture.

``python -m benchmarks.soak.report`` writes the documentation's files again from its figures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.figures import readable
from benchmarks.report import WIDTH
from benchmarks.soak.picture import draw_picture
from benchmarks.soak.series import LEAST_MINUTES, Verdict, verdicts

Report = Mapping[str, Any]

HEADER: Final = ("series", "second quarter", "last quarter", "held to", "verdict")
RESULTS: Final = Path(__file__).resolve().parents[1] / "results"
_STYLES: Final = {"flat": "green", "GREW": "bold red"}


def is_in_order(report: Report) -> bool:
    """Say whether no task broke the rule and nothing grew."""
    return not any(report["problems"].values()) and not grown(report)


def grown(report: Report) -> list[Verdict]:
    """Return what grew; nothing in a run that is too short to tell."""
    if report["minutes"] < LEAST_MINUTES:
        return []
    return [verdict for verdict in verdicts(report["series"]) if not verdict.is_flat]


def load(directory: Path) -> dict[str, Any]:
    """Return the report that :func:`write` wrote there."""
    report: dict[str, Any] = json.loads((directory / "soak.json").read_text())
    return report


def write(report: Report, directory: Path) -> list[Path]:
    """Write figures, table and picture; return the files (no picture without matplotlib)."""
    directory.mkdir(parents=True, exist_ok=True)
    figures, table, picture = (directory / f"soak.{ended}" for ended in ("json", "rst", "png"))
    figures.write_text(as_json(report))
    table.write_text(as_rst(report))
    try:
        draw_picture(report, picture)
    except ModuleNotFoundError as error:
        print(f"No picture: {error}")
        return [figures, table]
    return [figures, table, picture]


def as_json(report: Report) -> str:
    """Return all figures, each series on a line of its own."""
    series = {name: json.dumps(values) for name, values in report["series"].items()}
    lines = ",\n".join(f"  {json.dumps(name)}: {values}" for name, values in series.items())
    others = json.dumps({**report, "series": None}, indent=1)
    return others.replace('"series": null', f'"series": {{\n{lines}\n }}') + "\n"


def as_rst(report: Report) -> str:
    """Return the table and what has to be known beside it, in reStructuredText."""
    shown = [".. list-table::", "   :header-rows: 1", ""]
    for line in (HEADER, *_lines(report)):
        first, *others = line
        shown += [f"   * - {first}", *(f"     - {cell}" for cell in others)]
    return "\n".join([*shown, "", *(f"* {note}" for note in _notes(report)), ""])


def print_report(report: Report) -> None:
    """Print table, ledger, and what broke the rule."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    table = Table(title=f"A soak of {report['minutes']:.1f} minutes", title_justify="left")
    for column in HEADER:
        table.add_column(column, justify="right" if "quarter" in column else "left")
    for *cells, verdict in _lines(report):
        table.add_row(*cells, f"[{_STYLES.get(verdict, 'none')}]{verdict}")
    console.print(table)
    for note in _notes(report):
        console.print(f"  {note}", highlight=False)
    for text in report["examples"]:
        console.print(f"  [bold red]BROKEN[/]: {text}", highlight=False)


def _lines(report: Report) -> Iterator[tuple[str, ...]]:
    is_short = report["minutes"] < LEAST_MINUTES
    for verdict in verdicts(report["series"]):
        series = verdict.series
        assert series.rule is not None
        outcome = "flat" if verdict.is_flat else "GREW"
        yield (
            series.label,
            readable(verdict.before),
            readable(verdict.after),
            series.rule.words,
            "too short" if is_short else outcome,
        )


def _notes(report: Report) -> Iterator[str]:
    counts, machine = report["counts"], report["machine"]
    ended = ", ".join(f"{counts[name]:,} {name}" for name in ("finished", "error", "cancelled"))
    yield (
        f"{report['minutes']:.1f} minutes, {report['rate']:g} tasks a second; "
        f"{counts['enqueued']:,} tasks: {ended}"
    )
    yield ", ".join(f"{count} {kind}" for kind, count in report["problems"].items())
    yield (
        f"{counts['workers']:,} workers, one after the other; {counts['killed']} of them killed "
        f"from outside; {counts['vacuums']} rounds of autovacuum"
    )
    yield ", ".join(f"{name} {value}" for name, value in machine.items())
    if report["minutes"] < LEAST_MINUTES:
        yield f"less than {LEAST_MINUTES} minutes: too short to tell whether anything grows"


if __name__ == "__main__":
    write(load(RESULTS), RESULTS)
