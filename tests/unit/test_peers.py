"""The comparison with other queues: its journal, its tables, and what is committed of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.chart import draw_chart
from benchmarks.peers.environments import ROOT
from benchmarks.peers.journal import Journal
from benchmarks.peers.peer import Peer
from benchmarks.peers.results import RESULTS, Result, load, rows, save
from benchmarks.peers.table import README, as_markdown, as_rst, with_table


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    Journal.create(tmp_path / "journal", 3)
    return Journal(tmp_path / "journal")


def report_of(*results: Result) -> dict[str, Any]:
    machine = {"CPU": "one", "system": "some", "PostgreSQL": "18.4, fsync on", "Python": "3.11"}
    found: dict[str, Any] = {
        "machine": machine,
        "quick": False,
        "rounds": 2,
        "versions": {"huey": {"huey": "3.5"}},
        "results": [result.to_json() for result in results],
    }
    return found


def result_of(peer: Peer, *rates: float, problem: str | None = None) -> Result:
    drains = [
        {"tasks": 100, "recorded": rate, "run": rate, "bulk": 5.0, "busy": 0.1} for rate in rates
    ]
    single = {"enqueued": 7.0, "waits": [1.0, 2.0, 3.0]} if rates else None
    return Result(
        peer=peer, variant=peer.variants[0], drains=drains, singles=single, problem=problem
    )


def test_the_journal_tells_how_often_each_task_ran(journal: Journal) -> None:
    for number in (0, 1, 1):
        journal.mark(number)
    assert journal.runs(3) == {1: 1, 2: 1, 0: 1}
    assert journal.has_run(2)
    assert not journal.has_run(3)


def test_the_journal_tells_when_each_task_began(journal: Journal) -> None:
    journal.mark(0)
    journal.mark(2)
    first, never, last = journal.moments()
    assert 0 < first <= last
    assert never == 0


def test_the_tables_show_how_many_times_faster_ours_is() -> None:
    ours, other = PEERS[0], PEERS[-1]
    report = report_of(result_of(ours, 200.0, 400.0), result_of(other, 100.0, 200.0))
    (line,) = [line for line in as_markdown(report).splitlines() if line.startswith("| django-q2")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[4:7] == ["150", "100 … 200", "2.00"]


def test_a_queue_that_did_not_run_is_listed_with_the_reason() -> None:
    report = report_of(result_of(PEERS[0], 9.0), result_of(PEERS[-1], problem="no such server"))
    assert "not measured: no such server" in as_markdown(report)
    assert "not measured: no such server" in as_rst(report)


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    report = report_of(result_of(PEERS[0], 9.0))
    save(report, tmp_path / "peers.json")
    assert load(tmp_path / "peers.json") == json.loads(json.dumps(report))
    assert [row.rate for row in rows(report)] == [9.0]


def test_the_chart_is_drawn(tmp_path: Path) -> None:
    draw_chart(report_of(result_of(PEERS[0], 9.0)), tmp_path / "peers.png")
    assert (tmp_path / "peers.png").stat().st_size > 1000


def test_every_queue_is_measured_at_default_and_at_best_settings() -> None:
    for peer in PEERS:
        kinds = {variant.is_default for variant in peer.variants}
        assert kinds == {True, False}, peer.name
        assert (ROOT / "benchmarks/peers/drivers" / f"{peer.driver}.py").is_file()


def test_the_tables_are_those_of_the_committed_results() -> None:
    report = load()
    assert (RESULTS / "peers.md").read_text() == as_markdown(report)
    assert (RESULTS / "peers.rst").read_text() == as_rst(report)
    readme = README.read_text()
    assert readme == with_table(readme, report)
    assert ".. list-table::" in readme.split(".. peers begin")[1].split(".. peers end")[0]
