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
    lines = [_peer_line(one, ours, works.get(name_of(one))) for one, ours in _ranked(report)]
    return [PEERS_HEADER, *lines]


def orm_cells(report: Report) -> Cells:
    """Return the same of tasks that read and write a row, as far as it was measured with them."""
    lines = [(*_names(one), *_rates(one, ours)) for one, ours in _ranked(report)]
    return [PEERS_HEADER[:7], *lines]


def _ranked(report: Report) -> Iterator[tuple[Report, float | None]]:
    """Yield each result, and what ours at such settings on such a database is to be held to it."""
    ours: dict[tuple[bool, bool], float | None] = {}
    for one in report["results"]:
        if one["queue"] == OURS:
            ours[is_default(one), one["store"] == "SQLite"] = median_of(one)
    for one in sorted(report["results"], key=lambda x: (not is_default(x), -(median_of(x) or 0))):
        is_sqlite = one["store"] == "SQLite"
        yield one, ours.get((is_default(one), is_sqlite)) or ours.get((True, is_sqlite))


def _names(result: Report) -> Sequence[str]:
    settings = f"{'default' if is_default(result) else 'best'}: {result['settings']}"
    return result["queue"], settings, result["store"], result["runs tasks in"]


def _rates(result: Report, ours: float | None) -> Sequence[str]:
    rates = [drain["recorded"] for drain in result["drains"]]
    if not rates:
        return f"not measured: {result['problem']}", NOTHING, NOTHING
    rate, spread = statistics.median(rates), f"{readable(min(rates))} … {readable(max(rates))}"
    return readable(rate), spread, number(ours and ours / rate)


def _peer_line(result: Report, ours: float | None, work: float | None) -> Sequence[str]:
    singles = result["singles"]
    waits = " / ".join(map(readable, percentiles_of(singles))) if singles else None
    return (
        *_names(result),
        *_rates(result, ours),
        waits or (result["problem"] if result["drains"] else NOTHING),
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
