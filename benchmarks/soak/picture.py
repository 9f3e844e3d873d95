"""Draws what was watched: one panel above the other, minutes to the right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.soak.series import SERIES

COLOURS: Final = ("#0c6b3c", "#5b7fa6", "#b5655b", "#a99b5f")


def draw_picture(report: Mapping[str, Any], path: Path) -> None:
    """Write a PNG with a panel for each group of series."""
    import matplotlib as mpl

    mpl.use("Agg")  # needs no screen
    from matplotlib import pyplot as plt

    columns = report["series"]
    minutes = [seconds / 60 for seconds in columns["seconds"]]
    panels = list(dict.fromkeys(series.panel for series in SERIES))
    figure, rows = plt.subplots(
        len(panels), sharex=True, figsize=(9, 1.6 * len(panels)), layout="constrained"
    )
    for axes, panel in zip(rows, panels, strict=True):
        shown = [series for series in SERIES if series.panel == panel]
        for place, series in enumerate(shown):
            values = [float("nan") if value is None else value for value in columns[series.name]]
            style = {"color": COLOURS[place], "zorder": 10 - place}  # the first lies on top
            axes.plot(minutes, values, linewidth=1, label=series.title, **style)
        _dress(axes, panel)
    rows[-1].set_xlabel("minutes")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _dress(axes: Any, panel: str) -> None:
    axes.set_title(panel, loc="left", fontsize=9)
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", linewidth=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
