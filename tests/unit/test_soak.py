"""The soak: its load, its ledger, its verdicts, and what is committed of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak.kinds import BLOCK, KINDS, kind_of
from benchmarks.soak.ledger import LEFT, LOST, STUCK, TWICE, WRONG, End, Left, problems
from benchmarks.soak.picture import draw_picture
from benchmarks.soak.report import (
    RESULTS,
    as_json,
    as_rst,
    grown,
    is_in_order,
    load,
    print_report,
    write,
)
from benchmarks.soak.series import SERIES, Columns, verdicts

NUMBER_OF = {kind.name: n for n in reversed(range(BLOCK)) for kind in [kind_of(n)]}


def end_of(name: str, **changes: Any) -> End:
    """Return the rightful end of the first task of a kind, with changes."""
    number = NUMBER_OF[name]
    kind = kind_of(number)
    retries, postpones = kind.retries, kind.postpones
    end = End(number, kind.end, 1 + retries, retries, postpones, rescues=0, crashes=0)
    return end._replace(**changes)


def broken_by(
    *ends: End, ran: int = 1, effects: int = 1, waiting: tuple[int, ...] = (), attempts: int = 0
) -> list[str]:
    """Return what breaks the rule when these are all ends; every task ran that often."""
    numbers = ({end.number for end in ends} | set(waiting)) & set(range(BLOCK))
    left = Left(
        waiting=list(waiting),
        effects=Counter(dict.fromkeys(range(BLOCK), effects)),
        attempts=attempts,
        managers=0,
    )
    _, found = problems(ends, bytes([ran]) * BLOCK, BLOCK, left)
    missing = BLOCK - len(numbers)
    kinds = Counter(problem.kind for problem in found)
    kinds[LOST] -= missing
    return sorted(kinds.elements())


def columns_of(name: str, values: Sequence[float | None]) -> Columns:
    """Return samples, one a second, in which one series has these values and the others 1."""
    same: list[float | None] = [1.0 for _ in values]
    seconds: list[float | None] = [float(second) for second in range(len(values))]
    return {"seconds": seconds, **{series.name: same for series in SERIES}, name: [*values]}


def report_of(columns: Columns, *, minutes: float = 30, lost: int = 0) -> dict[str, Any]:
    counts = {"enqueued": 9, "finished": 9, "error": 0, "cancelled": 0}
    return {
        "machine": {"CPU": "one"},
        "minutes": minutes,
        "rate": 300,
        "counts": {**counts, "workers": 2, "killed": 1, "vacuums": 3},
        "problems": {LOST: lost, STUCK: 0},
        "examples": ["task 1 is lost"][:lost],
        "series": columns,
    }


# --- the load


def test_a_block_of_the_load_holds_each_kind_as_often_as_its_share_says() -> None:
    counts = Counter(kind_of(number).name for number in range(BLOCK, 2 * BLOCK))
    assert counts == {kind.name: kind.share for kind in KINDS}


def test_the_first_seconds_of_the_load_hold_every_kind() -> None:
    assert {kind_of(number).name for number in range(1500)} == {kind.name for kind in KINDS}


# --- the ledger


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_task_of_each_kind_may_end_as_agreed(kind: Any) -> None:
    ran = 1 + kind.retries + kind.postpones
    assert broken_by(end_of(kind.name), ran=ran) == []


def test_a_task_that_was_withdrawn_need_not_have_run() -> None:
    assert broken_by(end_of("Withdrawn"), ran=0) == []
    assert broken_by(end_of("Noop"), ran=0) == [WRONG]


def test_a_task_whose_worker_died_may_have_run_once_more() -> None:
    assert broken_by(end_of("Noop", rescues=1, crashes=1, attempts=2), ran=2) == []
    assert broken_by(end_of("Noop"), ran=2) == [WRONG]


def test_a_task_without_an_end_is_lost_or_stuck() -> None:
    number = NUMBER_OF["Nap"]
    assert broken_by(waiting=(number,)) == [STUCK]
    _, found = problems([], b"", 1, Left(waiting=[], effects=Counter(), attempts=0, managers=0))
    assert [problem.kind for problem in found] == [LOST]


def test_a_second_end_is_noticed() -> None:
    assert broken_by(end_of("Noop"), end_of("Noop")) == [TWICE]


@pytest.mark.parametrize(
    "end",
    [
        end_of("Failed", status="finished"),
        end_of("Noop", attempts=2),
        end_of("Noop", postpones=1),
        end_of("Retried", retries=1),
    ],
)
def test_a_wrong_end_is_noticed(end: End) -> None:
    assert WRONG in broken_by(end)


def test_effects_of_an_atomic_task_count_once() -> None:
    assert broken_by(end_of("Atomic"), effects=2) == [WRONG]


def test_a_task_that_nobody_enqueued_is_noticed() -> None:
    assert broken_by(end_of("Noop"), end_of("Noop", number=BLOCK)) == [WRONG]


def test_attempts_of_deleted_tasks_are_noticed() -> None:
    assert broken_by(attempts=2) == [LEFT]


# --- the verdicts


@pytest.mark.parametrize(
    ("name", "before", "after", "is_flat"),
    [
        ("manager_rss", 20, 21, True),
        ("manager_rss", 20, 21.1, False),  # more than 5 %
        ("manager_rss", 100, 102.1, False),  # more than 2 MB
        ("manager_fds", 20, 20, True),
        ("manager_fds", 20, 21, False),
        ("manager_fds", 20, 19, True),
        ("dead_rows", 1000, 1250, True),
        ("dead_rows", 1000, 1251, False),
        ("table_mb", 40, 51, False),
        ("waiting", 0, 100, True),
        ("waiting", 0, 101, False),
    ],
)
def test_the_last_quarter_is_held_to_the_second(
    name: str, before: float, after: float, is_flat: bool
) -> None:
    values: list[float | None] = [*[999.0] * 10, *[before] * 10, *[1.0] * 10, *[after] * 10]
    (verdict,) = [
        verdict for verdict in verdicts(columns_of(name, values)) if verdict.series.name == name
    ]
    assert (verdict.before, verdict.after, verdict.is_flat) == (before, after, is_flat)


def test_a_spike_does_not_count_where_the_median_does_and_does_where_the_maximum_does() -> None:
    values: list[float | None] = [10.0] * 40
    values[35] = 50.0
    assert not grown(report_of(columns_of("manager_rss", values)))
    assert grown(report_of(columns_of("dead_rows", values)))


def test_samples_without_a_value_are_left_out() -> None:
    values: list[float | None] = [5.0] * 40
    values[12:18] = [None] * 6
    assert all(verdict.is_flat for verdict in verdicts(columns_of("launcher_rss", values)))


def test_without_samples_there_is_no_verdict() -> None:
    assert verdicts(columns_of("rows", [])) == []
    assert verdicts(columns_of("rows", [None])) == []


def test_growth_or_a_lost_task_fails_a_soak_and_growth_only_a_long_one() -> None:
    flat, growing = (columns_of("manager_fds", [1.0] * 20 + [n] * 20) for n in (1.0, 2.0))
    assert is_in_order(report_of(flat))
    assert not is_in_order(report_of(flat, lost=1))
    assert not is_in_order(report_of(growing))
    assert is_in_order(report_of(growing, minutes=1))


# --- the report


def test_figures_are_read_as_they_were_written() -> None:
    report = report_of(columns_of("rows", [1.0, None, 2.5]))
    assert json.loads(as_json(report)) == report


def test_every_series_that_is_held_to_a_rule_has_its_line_in_the_table() -> None:
    table = as_rst(report_of(columns_of("rows", [1.0] * 40)))
    labels = [series.label for series in SERIES if series.rule is not None]
    assert [line for line in table.splitlines() if line.startswith("   * - ")] == [
        "   * - series",
        *(f"   * - {label}" for label in labels),
    ]
    assert all(labels)


def test_the_report_names_what_grew_and_what_broke(capsys: pytest.CaptureFixture[str]) -> None:
    growing = columns_of("manager_fds", [1.0] * 20 + [2.0] * 20)
    print_report(report_of(growing, lost=1))
    told = capsys.readouterr().out
    assert "GREW" in told
    assert "BROKEN: task 1 is lost" in told


def test_everything_is_written_where_matplotlib_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = report_of(columns_of("rows", [1.0, None, 2.5]))
    assert {path.name for path in write(report, tmp_path)} == {"soak.json", "soak.rst", "soak.png"}
    draw_picture(report, tmp_path / "again.png")
    assert (tmp_path / "again.png").stat().st_size > 1000


def test_the_table_is_that_of_the_committed_soak_which_is_in_order() -> None:
    report = load(RESULTS)
    assert (RESULTS / "soak.rst").read_text() == as_rst(report)
    assert (RESULTS / "soak.png").is_file()
    assert report["minutes"] >= 29
    assert is_in_order(report)
