"""Writes the tables of the documentation and of the README from the committed results.

``python -m benchmarks.peers.table`` writes them again after the results have changed.
"""

from __future__ import annotations

import re
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import readable
from benchmarks.list_table import list_table
from benchmarks.peers.peer import WORK_SECONDS, WORKERS
from benchmarks.peers.results import NAME, OURS, QUIET, RESULTS, WORK_NAME, Row, load, rows

_Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Title, header, lines."""

README: Final = RESULTS.parents[1] / "README.rst"
NOTHING: Final = "-"
HEADER: Final = (
    "queue",
    "settings",
    "store",
    "tasks run in",
    "drain, tasks/s",
    "min … max",
    "ours ÷ it",
    "last start, tasks/s",
    "pick-up p50 / p95 / p99, ms",
    "enqueue single / bulk, per s",
)
WORK_HEADER: Final = (*HEADER[:4], "tasks/s", "min … max", f"share of what {WORKERS} CPUs can do")
SHORT_HEADER: Final = (
    "queue",
    "store",
    "default, tasks/s",
    "best settings, tasks/s",
    "default pick-up p50, ms",
)
_README_PART: Final = re.compile(r"(?<=\.\. peers begin\n).*?(?=\.\. peers end\n)", re.DOTALL)


def main() -> None:
    """Write everything that is made from the committed results."""
    report = load(RESULTS / NAME)
    write_tables(report, load(RESULTS / WORK_NAME), RESULTS)
    README.write_text(with_table(README.read_text(), report))


def write_tables(report: Mapping[str, Any], work: Mapping[str, Any], directory: Path) -> str:
    """Write ``peers.md`` and ``peers.rst``; return the former."""
    markdown = as_markdown(report, work)
    (directory / "peers.md").write_text(markdown)
    (directory / "peers.rst").write_text(as_rst(report, work))
    return markdown


def as_markdown(report: Mapping[str, Any], work: Mapping[str, Any]) -> str:
    """Return the full tables in Markdown: of tasks that do nothing, and of those that compute."""
    parts = [_markdown_table(*table) for table in _tables(report)]
    parts += [_notes(report), _markdown_table(*_work_table(work)), _notes(work)]
    return "\n".join(parts)


def as_rst(report: Mapping[str, Any], work: Mapping[str, Any]) -> str:
    """Return the same in reStructuredText."""
    parts = [_rst_table(*table) for table in _tables(report)]
    parts += [_notes(report), _rst_table(*_work_table(work)), _notes(work)]
    return "\n".join(parts)


def with_table(readme: str, report: Mapping[str, Any]) -> str:
    """Return a README with the short table between its two comments."""
    table = f"\n{list_table(SHORT_HEADER, short_cells(report))}\n{short_note(report)}\n\n"
    return _README_PART.sub(lambda _: table, readme, count=1)


def short_cells(report: Mapping[str, Any]) -> list[Sequence[str]]:
    """Return one line for each queue and store: its drain at default and at best settings."""
    measured = list(rows(report))
    kinds = dict.fromkeys((row.queue, row.store) for row in measured)
    return [
        _short_line([row for row in measured if (row.queue, row.store) == kind]) for kind in kinds
    ]


def short_note(report: Mapping[str, Any]) -> str:
    """Say what the short table was measured with."""
    machine, taken = report["machine"], _taken(report)
    note = (
        f"One run of ``make bench-peers`` on {machine['CPU']}, {machine['system']}, PostgreSQL "
        f"{machine['PostgreSQL'].split(',')[0]} with durable commits, Python {machine['Python']}; "
        "two workers or what comes closest."
    )
    if taken > QUIET:
        note += f" The machine was not quiet: others took {taken:.0%} of its CPU."
    return "\n".join(textwrap.wrap(note, 100, break_on_hyphens=False))


def notes_of(report: Mapping[str, Any]) -> list[str]:
    """Return what has to be known beside the figures."""
    machine = ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    versions = "; ".join(
        f"{queue}: {', '.join(f'{name} {number}' for name, number in found.items())}"
        for queue, found in report["versions"].items()
    )
    scaled = [
        f"{row.queue} ({row.variant}) {row.tasks:,}"
        for row in rows(report)
        if row.tasks < _most(report)
    ]
    found = [
        f"{report['rounds']} alternating drains of {_most(report):,} waiting tasks, medians",
        f"share of the CPU that others took just before a drain: {_busy(report)}",
        machine,
        versions,
    ]
    if "stolen" in report:
        found += [f"share of the CPU that the host withheld meanwhile: {report['stolen']:.0%}"]
    found += [f"drained fewer tasks, being slow: {', '.join(scaled)}"] if scaled else []
    found += ["a quick run: its figures mean nothing"] if report["quick"] else []
    return found


def _markdown_table(title: str, header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    ruled = [header, ("---",) * len(header), *cells]
    lines = "\n".join(f"| {' | '.join(line)} |" for line in ruled)
    return f"### {title}\n\n{lines}\n"


def _rst_table(title: str, header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    return f".. rubric:: {title}\n\n{list_table(header, cells)}"


def _notes(report: Mapping[str, Any]) -> str:
    return "".join(f"* {note}\n" for note in notes_of(report))


def _work_table(work: Mapping[str, Any]) -> _Table:
    most = WORKERS / WORK_SECONDS
    shown = sorted(rows(work), key=lambda row: -(row.rate or 0))
    cells = [
        (*_names(row), *_rates(row), f"{row.rate / most:.0%}" if row.rate else NOTHING)
        for row in shown
    ]
    return f"Tasks that compute for {WORK_SECONDS * 1000:g} ms", WORK_HEADER, cells


def _tables(report: Mapping[str, Any]) -> list[_Table]:
    measured = list(rows(report))
    return [
        (title, HEADER, _cells([row for row in measured if row.is_default is is_default]))
        for title, is_default in (("Default settings", True), ("Best documented settings", False))
    ]


def _cells(shown: Sequence[Row]) -> list[Sequence[str]]:
    ours = next((row.rate for row in shown if row.queue == OURS), None)
    return [_line(row, ours) for row in sorted(shown, key=lambda row: -(row.rate or 0))]


def _line(row: Row, ours: float | None) -> Sequence[str]:
    if row.rate is None:
        return (*_names(row), *_rates(row), *[NOTHING] * (len(HEADER) - 6))
    return (
        *_names(row),
        *_rates(row),
        f"{ours / row.rate:.2f}" if ours else NOTHING,
        _number(row.run),
        " / ".join(map(readable, row.waits)) if row.waits else row.problem or NOTHING,
        f"{_number(row.enqueued)} / {_number(row.bulk)}",
    )


def _names(row: Row) -> Sequence[str]:
    return row.queue, row.settings, row.store, row.isolation


def _rates(row: Row) -> Sequence[str]:
    if row.rate is None:
        return f"not measured: {row.problem}", NOTHING
    return readable(row.rate), f"{readable(min(row.recorded))} … {readable(max(row.recorded))}"


def _short_line(shown: Sequence[Row]) -> Sequence[str]:
    default = next((row for row in shown if row.is_default), None)
    best = next((row for row in shown if not row.is_default), None)
    waits = default.waits if default else None
    return (
        shown[0].queue,
        shown[0].store,
        _number(default.rate if default else None),
        _number(best.rate if best else None),
        _number(waits[0] if waits else None),
    )


def _number(value: float | None) -> str:
    return NOTHING if value is None else readable(value)


def _busy(report: Mapping[str, Any]) -> str:
    shares = _busy_shares(report)
    return (
        f"median {statistics.median(shares):.0%}, at most {max(shares):.0%}" if shares else NOTHING
    )


def _taken(report: Mapping[str, Any]) -> float:
    """Return the share of the CPU that was not there for what was measured."""
    return float(statistics.median(_busy_shares(report) or [0.0]) + report.get("stolen", 0.0))


def _busy_shares(report: Mapping[str, Any]) -> list[float]:
    return [drain["busy"] for result in report["results"] for drain in result["drains"]]


def _most(report: Mapping[str, Any]) -> int:
    return max((row.tasks for row in rows(report)), default=0)


if __name__ == "__main__":
    main()
