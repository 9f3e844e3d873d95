"""What the documentation shows of the committed figures."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Figure, Target
from benchmarks.publishing import as_rst, draw, publish

RATE = Figure.of_runs("drain, default settings", [90, 100, 110], "tasks/s")
RATIO = Figure.of_runs(
    "drain, 1 M waiting: rate / plain drain", [0.8], "times", Target(bound=0.9, is_maximum=False)
)
SIZES = [Figure.of_runs(f"drain, MIN {n} / MAX {2 * n}", [n], "tasks/s") for n in (1, 2)]


def _report(*figures: Figure) -> dict[str, object]:
    section = {
        "figures": [figure.to_json() for figure in figures],
        "machine": {"CPU": "a fast one, 2 cores"},
    }
    return {"databases": {"PostgreSQL": section}, "quick": False, "seconds": 1.0}


def test_a_table_holds_every_figure_with_its_verdict_and_the_machine() -> None:
    lines = as_rst(_report(RATE, RATIO)).splitlines()
    assert lines[0] == ".. rubric:: PostgreSQL"
    cells = [line.strip(" *-") for line in lines if line.startswith(("   * -", "     -"))]
    assert cells[5:] == [
        *("drain, default settings", "100", "tasks/s", "90.0 … 110", ""),
        *("drain, 1 M waiting: rate / plain drain", "0.80", "times", "", "≥ 0.90 MISSED"),
    ]
    assert lines[-1] == "CPU a fast one, 2 cores; 2 workers."


def test_conditions_and_sizes_are_drawn_and_other_figures_are_not(tmp_path: Path) -> None:
    draw(_report(RATE), tmp_path / "none.png")
    draw(_report(RATE, RATIO), tmp_path / "one.png")
    draw(_report(RATE, RATIO, *SIZES), tmp_path / "two.png")
    assert not (tmp_path / "none.png").exists()
    heights = [
        int.from_bytes((tmp_path / name).read_bytes()[20:24]) for name in ("one.png", "two.png")
    ]
    assert heights[1] == 2 * heights[0]


def test_figures_table_and_chart_are_written_together(tmp_path: Path) -> None:
    publish("conditions", _report(RATIO), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("conditions.json", "conditions.rst", "conditions.png")
    }
