"""The server is down at the start, restarts, ends sessions, or stays away: rows 7, 8 and 10."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from django_partisan.config.const import ExitCode
from django_partisan.models import ManagerProcess, Task
from tests.app.partisan_tasks import Append, Sleep, SleepQuietly
from tests.faults.conftest import StartRemote
from tests.faults.own_server import OwnServer
from tests.support.harness import HOARDING, SHORT_LIVES, Manager, Stopwatch
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, statuses

pytestmark = pytest.mark.postgresql

DOWN = "the database cannot be used"
BACK = "the database is back"


def test_a_manager_waits_for_a_database_that_is_down_and_survives_its_restarts(
    own: OwnServer, start_remote: StartRemote, book: Book
) -> None:
    book.enqueue(*[SleepQuietly(0.02)] * 20)
    own.stop()
    # A server that is slow to recover must not make the manager close its fence.
    manager = start_remote(is_waiting=False, settings={"PARTISAN_DEAD_AFTER_SECONDS": 30})
    wait_until(lambda: manager.log.count(DOWN) == 1, message=lambda: manager.log)
    # No worker begins before a successor could learn of it from the manager's row.
    wait_until(manager.launchers, message=lambda: manager.log)
    own.start()
    manager.wait_until_serving()
    wait_until(lambda: all_are(book.ids, "finished"))
    assert (manager.log.count(DOWN), manager.log.count(BACK)) == (1, 1)

    pids = {process.pid for process in manager.processes()}
    for is_immediate in (True, False):
        book.enqueue(*[SleepQuietly(0.02)] * 200)
        wait_until(_has_finished_more(manager), message=lambda: manager.log)
        own.restart(immediate=is_immediate)
        watch = Stopwatch()
        wait_until(_has_finished_more(manager, 1), message=lambda: manager.log)
        book.recovered("restart of the server to the next outcome", watch.seconds, within=5)
        wait_until(lambda: all_are(book.ids, "finished"))
    book.faults = 3
    assert {process.pid for process in manager.processes()} == pids, "no process has ended"
    assert manager.log.count(DOWN) == manager.log.count(BACK) <= 3
    assert "Traceback" not in manager.log
    assert manager.stop() == 0
    assert not ManagerProcess.objects.exists()


@pytest.mark.long
@pytest.mark.timeout(400)
def test_restarts_under_load_cost_neither_tasks_nor_speed_nor_memory(
    own: OwnServer, start_remote: StartRemote, book: Book
) -> None:
    manager = start_remote()
    pids = {process.pid for process in manager.processes()}
    book.faults = 8
    for number in range(book.faults):
        _restart_under_load(own, manager, book, is_immediate=bool(number % 2))
        wait_until(_is_over(random.uniform(0, 10)))  # so the restarts come 5 to 40 s apart
    assert {process.pid for process in manager.processes()} == pids, "no process has ended"
    assert manager.process.memory_info().rss < 200 << 20


def test_ended_sessions_cost_nothing_singly_and_all_at_once(
    own: OwnServer, start_remote: StartRemote, book: Book
) -> None:
    manager = start_remote()
    book.run(*[Sleep(0.01)] * 20)
    book.faults = 0
    for turn in range(12):
        book.enqueue(*[SleepQuietly(0.01)] * 30)
        wait_until(_has_finished_more(manager, 1), message=lambda: manager.log)
        victims = own.backends() or [0]
        book.faults += own.terminate(*(victims if turn % 4 == 3 else [random.choice(victims)]))
    watch = Stopwatch()
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: manager.log)
    book.recovered("the last ended session to the last outcome", watch.seconds)
    assert "Traceback" not in manager.log
    assert not Task.objects.exclude(attempts=1).exists()


@pytest.mark.parametrize(
    "seconds", [7, pytest.param(90, marks=[pytest.mark.long, pytest.mark.timeout(200)])]
)
def test_outcomes_are_kept_while_the_database_is_away_and_recorded_afterwards(
    own: OwnServer, start_remote: StartRemote, book: Book, tmp_path: Path, seconds: float
) -> None:
    # The fence closes meanwhile, after six seconds.
    manager = start_remote(queue=HOARDING, settings=SHORT_LIVES)
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    ids = book.enqueue(*[Append(str(notes), str(gate))] * 50)
    wait_until(lambda: statuses(ids) == {"in_process": 50})
    wait_until(lambda: not manager.idle_workers())
    own.stop(immediate=True)
    wait_until(lambda: DOWN in manager.log)
    gate.touch()
    wait_until(lambda: len(_lines(notes)) == 2)
    wait_until(_is_over(seconds), seconds=seconds + 1)
    assert len(_lines(notes)) == 2, "nothing begins whose outcome might get lost"
    own.start()
    watch = Stopwatch()
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    book.recovered("start of the server to the last outcome", watch.seconds)
    assert sorted(_lines(notes)) == sorted(ids), "each task ran once"


@pytest.mark.parametrize("has_outcomes", [False, True])
def test_a_manager_whose_database_stays_away_ends_by_a_signal_all_the_same(
    own: OwnServer, start_remote: StartRemote, book: Book, tmp_path: Path, has_outcomes: bool
) -> None:
    manager = start_remote(settings={"PARTISAN_SHUTDOWN_GRACE_SECONDS": 1})
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    ids = book.enqueue(*[Append(str(notes), str(gate))] * 10)
    wait_until(lambda: statuses(ids) == {"in_process": 10} and not manager.idle_workers())
    own.stop(immediate=True)
    wait_until(lambda: DOWN in manager.log)
    if has_outcomes:
        gate.touch()
        wait_until(lambda: len(_lines(notes)) == 2)
    watch = Stopwatch()
    manager.send(signal.SIGTERM)
    assert manager.wait_for_exit() == ExitCode.ERROR
    book.recovered("SIGTERM without a database to the exit, grace 1 s", watch.seconds, within=6)
    assert f"{len(ids)} outcomes could not be recorded" in manager.log
    gate.touch()
    own.start()
    start_remote()
    wait_until(lambda: all_are(ids, "finished"))
    assert set(_lines(notes)) == set(ids)


def _has_finished_more(manager: Manager, count: int = 20) -> Callable[[], bool]:
    goal = manager.log.count(" finished [") + count
    return lambda: manager.log.count(" finished [") >= goal


def _restart_under_load(
    own: OwnServer, manager: Manager, book: Book, *, is_immediate: bool
) -> None:
    ids = book.enqueue(*[SleepQuietly(0.005)] * 3000)
    wait_until(_has_finished_more(manager, 300), message=lambda: manager.log)
    speed = _speed(ids)
    own.restart(immediate=is_immediate)
    watch = Stopwatch()
    wait_until(_has_finished_more(manager, 1), message=lambda: manager.log)
    wait_until(lambda: _speed(ids) > speed / 2, interval=0.001)
    book.recovered("restart of the server to full speed", watch.seconds, within=5)
    wait_until(lambda: all_are(ids, "finished"))


def _speed(ids: list[int]) -> float:
    """Return how many of these tasks finish in a second, measured over a short moment."""
    watch, before = Stopwatch(), statuses(ids)["finished"]
    wait_until(lambda: watch.seconds > 0.4)
    return (statuses(ids)["finished"] - before) / watch.seconds


def _is_over(seconds: float) -> Callable[[], bool]:
    watch = Stopwatch()
    return lambda: watch.seconds >= seconds


def _lines(notes: Path) -> list[int]:
    return [int(line) for line in notes.read_text().split()] if notes.exists() else []
