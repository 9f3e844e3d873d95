"""The comparison with other queues: its journal, its tables, and what is committed of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.chart import draw_chart
from benchmarks.peers.environments import ROOT
from benchmarks.peers.journal import JOURNAL_VARIABLE, WORK_VARIABLE, Journal
from benchmarks.peers.peer import Peer
from benchmarks.peers.results import NAME, RESULTS, WORK_NAME, Result, load, rows, save
from benchmarks.peers.table import README, as_markdown, as_rst, short_note, with_table


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
        "stolen": 0.1,
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


def test_a_task_computes_for_as_long_as_it_is_told(journal: Journal, tmp_path: Path) -> None:
    variables = {JOURNAL_VARIABLE: str(tmp_path / "journal"), WORK_VARIABLE: "0.25"}
    code = (
        "import time; from benchmarks.peers.journal import mark; mark(1); print(time.thread_time())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    assert journal.runs(3) == {0: 2, 1: 1}
    assert float(done.stdout) > 0.25


def test_the_tables_show_how_many_times_faster_ours_is() -> None:
    ours, other = PEERS[0], PEERS[-1]
    report = report_of(result_of(ours, 200.0, 400.0), result_of(other, 100.0, 200.0))
    table = as_markdown(report, report).split("###")[1]
    (line,) = [line for line in table.splitlines() if line.startswith("| django-q2")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[4:7] == ["150", "100 … 200", "2.00"]
    assert cells[8] == "2.00 / 2.90 / 2.98"


def test_the_table_of_tasks_that_compute_shows_what_is_left_of_two_cpus() -> None:
    work = report_of(result_of(PEERS[-1], 300.0, 320.0), result_of(PEERS[0], problem="no server"))
    markdown = as_markdown(report_of(result_of(PEERS[0], 9.0)), work)
    first, second = markdown.split("### Tasks that compute for 5 ms")[1].splitlines()[4:6]
    assert [cell.strip() for cell in first.strip("|").split("|")][4:] == [
        "310",
        "300 … 320",
        "78%",
    ]
    assert "not measured: no server" in second


def test_the_short_table_says_when_the_machine_was_not_quiet() -> None:
    report = report_of(result_of(PEERS[0], 9.0))
    assert "others took 20% of its CPU" in " ".join(short_note(report).split())
    report["stolen"] = 0.0
    assert "not quiet" not in short_note(report)


def test_a_queue_that_did_not_run_is_listed_with_the_reason() -> None:
    report = report_of(result_of(PEERS[0], 9.0), result_of(PEERS[-1], problem="no such server"))
    assert "not measured: no such server" in as_markdown(report, report)
    assert "not measured: no such server" in as_rst(report, report)


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
    report, work = load(RESULTS / NAME), load(RESULTS / WORK_NAME)
    assert (RESULTS / "peers.md").read_text() == as_markdown(report, work)
    assert (RESULTS / "peers.rst").read_text() == as_rst(report, work)
    readme = README.read_text()
    assert readme == with_table(readme, report)
    assert ".. list-table::" in readme.split(".. peers begin")[1].split(".. peers end")[0]
