"""Writes the committed figures, and the tables and charts that the documentation shows of them.

``--publish`` writes all three for one command. ``python -m benchmarks.publishing`` writes tables
and charts again from the committed figures.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.figures import Figure, readable
from benchmarks.list_table import list_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESULTS: Final = Path(__file__).parent / "results"
HEADER: Final = ("measure", "median", "unit", "min … max", "target")
COLOURS: Final = ("#0c6b3c", "#b5655b", "#5b7fa6")
_SIZE: Final = re.compile(r"(?P<name>.*), MIN (?P<least>\d+) / MAX (?P<most>\d+)")
_BESIDE: Final = re.compile(r"drain, (?P<name>.*): rate / plain drain")
_BLOCK: Final = re.compile(r"(?P<name>.*): block (?P<number>\d+)")


def publish(name: str, report: Mapping[str, Any], directory: Path = RESULTS) -> None:
    """Write ``NAME.json``, ``NAME.rst`` and, where there is anything to draw, ``NAME.png``."""
    (directory / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    (directory / f"{name}.rst").write_text(as_rst(report))
    draw(report, directory / f"{name}.png")


def as_rst(report: Mapping[str, Any]) -> str:
    """Return a table for each database, with the machine and the versions below it."""
    parts = []
    for database, section in report["databases"].items():
        figures = [Figure.from_json(stored) for stored in section["figures"]]
        machine = "; ".join(f"{name} {value}" for name, value in section["machine"].items())
        note = "\n".join(textwrap.wrap(f"{machine}; 2 workers.", 100, break_on_hyphens=False))
        table = list_table(HEADER, [_cells(figure) for figure in figures])
        parts.append(f".. rubric:: {database}\n\n{table}\n{note}\n")
    return "\n".join(parts)


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Write a chart of the conditions and sizes measured on the first database, if any were."""
    import matplotlib as mpl

    mpl.use("Agg")  # needs no screen
    from matplotlib import pyplot as plt

    section = next(iter(report["databases"].values()))
    figures = [Figure.from_json(stored) for stored in section["figures"]]
    panels = [panel for panel in (_draw_beside, _draw_held, _draw_sizes) if panel(figures, None)]
    if not panels:
        return
    figure, places = plt.subplots(
        len(panels), figsize=(8, 3.2 * len(panels)), layout="constrained", squeeze=False
    )
    for panel, axes in zip(panels, places.flat, strict=True):
        panel(figures, axes)
        axes.grid(alpha=0.3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _cells(figure: Figure) -> Sequence[str]:
    target = "" if figure.target is None else f"{figure.target} {figure.verdict}"
    return figure.measure, readable(figure.value), figure.unit, figure.spread, target


def _draw_beside(figures: Sequence[Figure], axes: Axes | None) -> bool:
    found = {m["name"]: f for f in figures if (m := _BESIDE.fullmatch(f.measure))}
    if axes is not None:
        names = list(found)[::-1]
        axes.barh(names, [found[name].value for name in names], color=COLOURS[0])
        for place, name in enumerate(names):
            axes.plot(found[name].runs, [place] * len(found[name].runs), "k.", markersize=4)
        axes.axvline(1, color="grey", linewidth=1)
        axes.axvline(0.9, color=COLOURS[1], linestyle="--", linewidth=1)
        axes.set_xlabel("drain beside other rows / plain drain in turn with it; dots: single pairs")
    return bool(found)


def _draw_held(figures: Sequence[Figure], axes: Axes | None) -> bool:
    return _draw_curves(dict(_curves(figures, _BLOCK)), axes, ("block of tasks", "tasks/s"))


def _draw_sizes(figures: Sequence[Figure], axes: Axes | None) -> bool:
    curves = dict(_curves(figures, _SIZE))
    # Relative to the best: one of them is a hundred times the other.
    relative = {
        name: {label: value / max(curve.values()) for label, value in curve.items()}
        for name, curve in curves.items()
        if len(curve) > 1
    }
    return _draw_curves(relative, axes, ("MIN / MAX", "rate relative to the best"))


def _draw_curves(
    curves: Mapping[str, Mapping[str, float]], axes: Axes | None, labels: tuple[str, str]
) -> bool:
    if axes is not None:
        for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
            axes.plot(list(curve), list(curve.values()), marker="o", label=name, color=colour)
        axes.set_ylim(bottom=0)
        axes.tick_params(axis="x", labelsize=7)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.legend(frameon=False, fontsize=8)
    return bool(curves)


def _curves(
    figures: Sequence[Figure], pattern: re.Pattern[str]
) -> Iterator[tuple[str, dict[str, float]]]:
    curves: dict[str, dict[str, float]] = {}
    for figure in figures:
        match = pattern.fullmatch(figure.measure)
        if match is not None:
            name, *places = match.groups()
            curves.setdefault(name, {})[" / ".join(places)] = figure.value
    yield from curves.items()


if __name__ == "__main__":
    for file in (RESULTS / "bench.json", RESULTS / "conditions.json"):
        if file.exists():
            publish(file.stem, json.loads(file.read_text()))
