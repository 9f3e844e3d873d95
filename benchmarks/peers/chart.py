"""Draws the drains of all queues as bars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import readable
from benchmarks.peers.results import rows

OURS_COLOUR: Final = "#0c6b3c"
COLOURS: Final = {"PostgreSQL": "#5b7fa6", "Redis": "#b5655b", "SQLite": "#a99b5f"}


def draw_chart(report: Mapping[str, Any], path: Path) -> None:
    """Write a PNG with one bar for each variant that was measured, the fastest on top."""
    import matplotlib as mpl

    mpl.use("Agg")  # needs no screen
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    shown = sorted(
        (row for row in rows(report) if row.rate is not None), key=lambda row: row.rate or 0
    )
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.32 * len(shown)), layout="constrained")
    bars = axes.barh(
        [f"{row.queue}, {row.variant}" for row in shown],
        [row.rate or 0 for row in shown],
        color=[OURS_COLOUR if row.is_ours else COLOURS[row.store] for row in shown],
    )
    axes.bar_label(bars, [f" {readable(row.rate or 0)}" for row in shown], fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.margins(x=0.12, y=0.02)
    axes.tick_params(labelsize=9)
    axes.set_xlabel("waiting tasks done and recorded per second, 2 workers; more is better")
    legend = {"django-partisan": OURS_COLOUR, **{f"others, {k}": v for k, v in COLOURS.items()}}
    handles = [Patch(color=colour, label=label) for label, colour in legend.items()]
    axes.legend(handles=handles, loc="lower right", frameon=False, fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)
