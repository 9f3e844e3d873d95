"""The ledger tells how often each task has run, and everything that breaks its rule."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from tools.ledger import Account, Broken, Runs, doubled, lost, not_once, wrong

ENDED = Account(
    *("task 1", "finished"), lease=1, attempts=1, retries=0, postpones=0, rescues=0, crashes=0
)


@pytest.fixture
def runs() -> Iterator[Runs]:
    with Runs.create(200_000) as runs:
        yield runs


def test_runs_are_counted_in_memory_that_other_processes_share(runs: Runs) -> None:
    code = "from tools.ledger import own_runs; [own_runs().mark(n) for n in (0, 1, 1)]"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (runs.of(0), runs.of(1), runs.of(2)) == (1, 2, 0)
    assert runs.times(3) == {0: 1, 1: 1, 2: 1}
    assert 0 < runs.moment(0) < runs.moment(1)
    assert runs.moment(2) == 0
    assert [runs.have_all_run(tasks) for tasks in (2, 3)] == [True, False]


def test_the_tasks_that_have_run_are_counted_without_looking_at_all_of_them(runs: Runs) -> None:
    for begin, end in ((0, 70_000), (70_001, 150_000)):
        for number in range(begin, end):
            runs.count(number)
        assert runs.ran() == end - (begin > 0)


@pytest.mark.parametrize(
    ("times", "recorded", "astray", "broken"),
    [
        ({1: 9}, 9, 0, []),
        ({0: 5, 1: 9}, 9, 0, []),
        ({1: 8}, 9, 0, [Broken.LOST]),
        ({1: 9}, 8, 0, [Broken.LOST]),
        ({1: 8, 2: 1}, 8, 0, [Broken.STALE]),
        ({1: 9}, 9, 1, [Broken.STUCK]),
    ],
)
def test_each_task_that_ran_did_so_once_and_is_recorded(
    times: dict[int, int], recorded: int, astray: int, broken: list[Broken]
) -> None:
    found = not_once(times, recorded=recorded, astray=astray)
    assert [problem.kind for problem in found] == broken


@pytest.mark.parametrize(
    ("account", "ran", "broken"),
    [
        (ENDED, 1, []),
        (ENDED, 2, [Broken.COUNTED_WRONG]),
        (ENDED._replace(attempts=2), 1, [Broken.COUNTED_WRONG]),
        (ENDED._replace(attempts=2, crashes=1, lease=3), 2, []),
        (ENDED._replace(status="new"), 0, [Broken.STUCK]),
        (ENDED._replace(status="in_process"), 1, [Broken.STUCK, Broken.STUCK]),
    ],
)
def test_what_is_stored_of_a_task_can_be_true(
    account: Account, ran: int, broken: list[Broken]
) -> None:
    assert [problem.kind for problem in wrong(account, ran)] == broken


def test_what_is_missing_or_happened_twice_is_named() -> None:
    found = [*lost([1, 2, 3], {1, 3}), *doubled(Counter([(4, 7), (4, 7), (4, 8)]), "ran")]
    assert [text for _, text in found] == ["task 2 is lost", "task 4 ran 2 times under lease 7"]
