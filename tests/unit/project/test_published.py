"""What README and documentation show is made of the committed figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import Figure, Target, readable
from benchmarks.peers.catalogue import PEERS
from benchmarks.tables import as_text, median_of, orm_cells, peers_cells
from tools.published import README, ROOT, as_rst, load, orm_rst, with_table, write_for_docs


def test_the_readme_shows_the_committed_figures() -> None:
    readme, report = README.read_text(), load("peers")
    assert readme == with_table(readme, report)
    shown = readme.split(".. peers begin")[1].split(".. peers end")[0]
    for result in report["results"]:
        assert f"   * - {result['queue']}\n     - {result['store']}\n" in shown


def test_the_documentation_is_given_every_committed_figure(tmp_path: Path) -> None:
    write_for_docs(tmp_path)
    for name in ("bench", "conditions"):
        shown = (tmp_path / f"{name}.rst").read_text()
        for section in load(name)["databases"].values():
            for stored in section["figures"]:
                cells = (stored["measure"], readable(stored["value"]), stored["unit"])
                assert "\n     - ".join(cells) in shown
    table, chart = ((tmp_path / f"peers.{ending}").read_text() for ending in ("rst", "svg"))
    for result in load("peers")["results"]:
        assert f": {result['settings']}\n     - {result['store']}\n" in table
        assert f"{result['queue']}, {result['variant']}<" in chart


def test_a_queue_that_did_not_run_is_listed_with_the_reason() -> None:
    report: dict[str, Any] = load("peers")
    report["results"][-1] |= {"drains": [], "singles": None, "problem": "no such server"}
    cells = peers_cells(report, load("peers_work"))
    assert "not measured: no such server" in as_text(cells)
    assert "     - not measured: no such server\n" in as_rst(cells)


def test_tasks_of_the_orm_have_a_table_of_their_own_which_compares_like_with_like() -> None:
    report: dict[str, Any] = load("peers")
    for number, result in enumerate(report["results"], 1):
        result["drains"] = [{**result["drains"][0], "recorded": 100 * number}]
    rate = {(each["queue"], each["variant"]): median_of(each) for each in report["results"]}
    ours, its = rate["django-partisan", "default, SQLite"], rate["huey", "default, SQLite"]
    lines = [line for line in orm_cells(report) if (line[0], line[2]) == ("huey", "SQLite")]
    assert ours
    assert its
    assert lines[0][-1] == readable(ours / its)
    assert ".. rubric:: Tasks that read and write a row" in orm_rst(report)


def test_every_queue_is_measured_at_default_and_at_best_settings() -> None:
    for peer in PEERS:
        kinds = {variant.name.split(",")[0] for variant in peer.variants}
        assert kinds == {"default", "best"}, peer.name
        assert (ROOT / "benchmarks/peers/drivers" / f"{peer.driver}.py").is_file()
    assert {result["queue"] for result in load("peers")["results"]} == {p.name for p in PEERS}


@pytest.mark.parametrize(
    ("value", "is_maximum", "verdict"),
    [(9, True, "met"), (10, True, "met"), (11, True, "MISSED"), (9, False, "MISSED")],
)
def test_a_figure_is_held_to_its_target(value: float, is_maximum: bool, verdict: str) -> None:
    runs = [value, value + 100, value - 100]
    figure = Figure.of_runs("m", runs, "ms", Target(10, is_maximum))
    assert figure.verdict == verdict
    assert Figure.from_json(figure.to_json()) == figure
