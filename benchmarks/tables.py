"""The figures as tables; :mod:`tools.published` shows those that are committed.

It needs nothing but Python, because the documentation is built without the benchmarks' environment.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks.figures import Figure, readable

Report = Mapping[str, Any]
Cells = Sequence[Sequence[str]]
"""Lines of a table; the first one is its header."""

OURS: Final = "django-partisan"
NOTHING: Final = "-"
ENGINE_HEADER: Final = ("measure", "median", "unit", "min … max", "target")
PEERS_HEADER: Final = (
    *("queue", "settings", "store", "tasks run in", "drain, tasks/s", "min … max", "ours ÷ it"),
    *("pick-up p50 / p95 / p99, ms", "enqueue single / bulk, per s", "5 ms tasks/s"),
)


# ----- of any table -----


def as_text(cells: Cells) -> str:
    """Return a table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    form = "  ".join(f"{{:{width}}}" for width in widths)
    header, *lines = [form.format(*line).rstrip() for line in cells]
    return "\n".join([header, "-" * sum(widths, 2 * len(widths) - 2), *lines])


# ----- the engine -----


def engine_cells(section: Report) -> Cells:
    """Return the figures of one database."""
    lines = []
    for figure in map(Figure.from_json, section["figures"]):
        target = f"{figure.target or ''} {figure.verdict}".strip()
        lines.append((figure.measure, readable(figure.value), figure.unit, figure.spread, target))
    return [ENGINE_HEADER, *lines]


def turn_cells(databases: Mapping[str, Report]) -> Iterator[Cells]:
    """Yield a comparison for each database on which the packages of two trees took turns."""
    for other, theirs in databases.items():
        database, _, tree = other.partition(", ")
        if tree and database in databases:
            header = (f"{database}, medians in turn", tree, "this one", "unit", "this one / it")
            lines = []
            for a, b in zip(databases[database]["figures"], theirs["figures"], strict=True):
                ours, its = a["value"], b["value"]
                times = f"{ours / its:.3f}" if its else NOTHING
                lines.append((a["measure"], readable(its), readable(ours), a["unit"], times))
            yield [header, *lines]


# ----- the peers -----


def peers_cells(report: Report, work: Report) -> Cells:
    """Return a line for each queue and its settings: the default ones first, the fastest first."""
    works = {name_of(result): median_of(result) for result in work["results"]}
    ours = {
        is_default(result): median_of(result)
        for result in reversed(report["results"])
        if result["queue"] == OURS
    }
    shown = sorted(report["results"], key=lambda one: (not is_default(one), -(median_of(one) or 0)))
    lines = [_peer_line(one, ours.get(is_default(one)), works.get(name_of(one))) for one in shown]
    return [PEERS_HEADER, *lines]


def _peer_line(result: Report, ours: float | None, work: float | None) -> Sequence[str]:
    settings = f"{'default' if is_default(result) else 'best'}: {result['settings']}"
    names = (result["queue"], settings, result["store"], result["runs tasks in"])
    rates, singles = [drain["recorded"] for drain in result["drains"]], result["singles"]
    if not rates:
        return (*names, f"not measured: {result['problem']}", *[NOTHING] * 4, number(work))
    rate = statistics.median(rates)
    return (
        *names,
        readable(rate),
        f"{readable(min(rates))} … {readable(max(rates))}",
        number(ours and ours / rate),
        " / ".join(map(readable, percentiles_of(singles))) if singles else result["problem"],
        f"{number(singles and singles['enqueued'])} / {number(median_of(result, 'bulk'))}",
        number(work),
    )


# ----- one result -----


def name_of(result: Report) -> str:
    """Return the name of a queue and its settings."""
    return f"{result['queue']}, {result['variant']}"


def is_default(result: Report) -> bool:
    """Say whether nothing was tuned."""
    return bool(result["variant"].startswith("default"))


def median_of(result: Report, name: str = "recorded") -> float | None:
    """Return the median of its drains."""
    drains = result["drains"]
    return statistics.median(drain[name] for drain in drains) if drains else None


def percentiles_of(singles: Report) -> tuple[float, float, float]:
    """Return p50, p95 and p99 of the waits, in milliseconds."""
    cuts = statistics.quantiles(singles["waits"], n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]


def number(value: float | None) -> str:
    """Return a number that may be unknown."""
    return NOTHING if value is None else readable(value)
