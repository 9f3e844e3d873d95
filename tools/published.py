"""Writes what documentation and README show of the committed figures of the benchmarks.

The documentation has its part written whenever it is built, without the benchmarks' environment:
nothing here needs more than Python. ``python -m tools.published`` writes that of the README.
"""

from __future__ import annotations

import json
import re
import statistics
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import readable
from benchmarks.tables import (
    OURS,
    Cells,
    Report,
    engine_cells,
    is_default,
    median_of,
    name_of,
    number,
    orm_cells,
    peers_cells,
    percentiles_of,
)

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results"
README: Final = ROOT / "README.rst"
QUIET: Final = 0.15
"""The share of the CPU in use up to which a machine passes for quiet."""
COLOURS: Final = {
    OURS: "#0c6b3c",
    "PostgreSQL": "#5b7fa6",
    "Redis": "#b5655b",
    "SQLite": "#a99b5f",
}
SHORT_HEADER: Final = (
    *("queue", "store", "default, tasks/s", "best settings, tasks/s", "default pick-up p50, ms"),
)
_README_PART: Final = re.compile(r"(?<=\.\. peers begin\n).*?(?=\.\. peers end\n)", re.DOTALL)


def load(name: str) -> dict[str, Any]:
    """Return the committed figures of that name."""
    report: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return report


def write_for_docs(directory: Path) -> None:
    """Write what the documentation includes, from the committed figures."""
    directory.mkdir(exist_ok=True)
    peers = load("peers")
    for name in ("bench", "conditions"):
        (directory / f"{name}.rst").write_text(engine_rst(load(name)))
    shown = peers_rst(peers, load("peers_work"))
    if (RESULTS / "peers_orm.json").exists():
        shown += orm_rst(load("peers_orm"))
    (directory / "peers.rst").write_text(shown)
    (directory / "peers.svg").write_text(bars(peers))


def engine_rst(report: Report) -> str:
    """Return a table for each database, with the machine and the versions below it."""
    parts = []
    for database, section in report["databases"].items():
        machine = "; ".join(f"{name} {value}" for name, value in section["machine"].items())
        note = _wrapped(f"{machine}; 2 workers.")
        parts.append(f".. rubric:: {database}\n\n{as_rst(engine_cells(section))}\n{note}\n")
    return "\n".join(parts)


def peers_rst(report: Report, work: Report) -> str:
    """Return the table of all queues, and what has to be known beside it."""
    notes = [*_notes(report, "tasks"), *_notes(work, "tasks of 5 ms")]
    return "\n".join([as_rst(peers_cells(report, work)), *(f"* {note}" for note in notes), ""])


def orm_rst(report: Report) -> str:
    """Return the table of tasks that read and write a row, with its title and its notes."""
    notes = [f"* {note}" for note in _notes(report, "tasks")]
    title = ".. rubric:: Tasks that read and write a row"
    return "\n".join(["", title, "", as_rst(orm_cells(report)), *notes, ""])


def _notes(report: Report, what: str) -> Iterator[str]:
    """Yield how it was measured, and with what."""
    tasks = {name_of(one): one["drains"][0]["tasks"] for one in report["results"] if one["drains"]}
    most, shares = max(tasks.values(), default=0), _busy_shares(report)
    fewer = [f"{name} {count:,}" for name, count in tasks.items() if count < most]
    yield (
        f"{report['rounds']} alternating drains of {most:,} waiting {what}, medians; others took "
        f"{statistics.median(shares):.0%} of the CPU just before a drain, {max(shares):.0%} at most"
    )
    if "stolen" in report:
        yield f"the host withheld {report['stolen']:.0%} of the CPU meanwhile"
    if fewer:
        yield f"drained fewer, being slow: {', '.join(fewer)}"
    yield ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    yield "; ".join(
        f"{queue}: {', '.join(f'{name} {number}' for name, number in found.items())}"
        for queue, found in report["versions"].items()
    )


def bars(report: Report) -> str:
    """Return an SVG with one bar for each drain, the fastest on top."""
    shown = sorted(filter(median_of, report["results"]), key=lambda one: -(median_of(one) or 0))
    height, longest = 21 * (len(shown) + 2), median_of(shown[0]) or 1
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}">',
        "<style>text {font: 12px sans-serif; fill: #444}</style>",
        f'<rect width="800" height="{height}" fill="#fff"/>',
    ]
    for place, result in enumerate(shown):
        rate, y = median_of(result) or 0, 21 * place + 16
        colour = COLOURS[OURS if result["queue"].startswith(OURS) else result["store"]]
        lines += [
            f'<text x="260" y="{y}" text-anchor="end">{name_of(result)}</text>',
            *_box(270, y, 430 * rate / longest, colour, readable(rate)),
        ]
    for place, (name, colour) in enumerate(COLOURS.items()):
        title = name if name == OURS else f"others, {name}"
        lines += _box(20 + 138 * place, height - 14, 12, colour, title)
    words = "tasks done and recorded per second"
    return "\n".join([*lines, f'<text x="578" y="{height - 14}">{words}</text>', "</svg>", ""])


def _box(x: float, y: float, width: float, colour: str, title: str) -> Iterator[str]:
    yield f'<rect x="{x}" y="{y - 11}" width="{width:.1f}" height="14" fill="{colour}"/>'
    yield f'<text x="{x + width + 5:.1f}" y="{y}">{title}</text>'


def with_table(readme: str, report: Report) -> str:
    """Return a README with the short table between its two comments."""
    table = f"\n{as_rst(short_cells(report))}\n{_short_note(report)}\n\n"
    return _README_PART.sub(lambda _: table, readme, count=1)


def short_cells(report: Report) -> Cells:
    """Return one line for each queue and store: its drain at default and at best settings."""
    kinds: dict[tuple[str, str], dict[bool, Report]] = {}
    for one in report["results"]:
        kinds.setdefault((one["queue"], one["store"]), {})[is_default(one)] = one
    return [SHORT_HEADER, *((*kind, *_short_line(found)) for kind, found in kinds.items())]


def _short_line(found: Mapping[bool, Report]) -> Iterator[str]:
    for kind in (True, False):
        yield number(median_of(found[kind]) if kind in found else None)
    singles = found[True]["singles"] if True in found else None
    yield number(percentiles_of(singles)[0] if singles else None)


def _short_note(report: Report) -> str:
    """Say what the short table was measured with."""
    machine = report["machine"]
    taken = statistics.median(_busy_shares(report)) + report.get("stolen", 0.0)
    note = (
        f"One run of ``make bench-peers`` on {machine['CPU']}, {machine['system']}, PostgreSQL "
        f"{machine['PostgreSQL'].split(',')[0]} with durable commits, Python {machine['Python']}; "
        "two workers or what comes closest."
    )
    if taken > QUIET:
        note += f" The machine was not quiet: others took {taken:.0%} of its CPU."
    return _wrapped(note)


def as_rst(cells: Cells) -> str:
    """Return a list-table in reStructuredText."""
    shown = [".. list-table::", "   :header-rows: 1", ""]
    for first, *others in cells:
        shown += [f"   * - {first}", *(f"     - {cell}".rstrip() for cell in others)]
    return "\n".join([*shown, ""])


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 100, break_on_hyphens=False))


def _busy_shares(report: Report) -> list[float]:
    """Return the share of the CPU that was in use before each drain."""
    return [each["busy"] for result in report["results"] for each in result["drains"]] or [0.0]


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(), load("peers")))
