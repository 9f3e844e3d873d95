"""SIGTERM and SIGINT: rows 4 and 5 of the faults, and the exit codes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from django_partisan.config.const import ExitCode
from django_partisan.models import ManagerProcess, Task
from tests.app.partisan_tasks import Note, WaitForFile
from tests.processes.conftest import StartManager
from tests.support.harness import HOARDING, Manager, Stopwatch
from tests.support.helpers import HANG_SECONDS, wait_until
from tests.support.ledger import Book, all_are, done, statuses

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
ALL = pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]
)


@ALL
def test_a_signal_lets_running_tasks_finish_and_gives_the_others_back(
    start_manager: StartManager, book: Book, gate: Path, number: int
) -> None:
    manager = start_manager(queue=HOARDING)
    running = book.begin(*[WaitForFile(str(gate))] * 2)
    waiting = book.enqueue(*[Note()] * 30)
    wait_until(lambda: statuses(waiting) == {"in_process": 30})
    book.waiting.update(waiting)
    watch = Stopwatch()
    manager.send(number)
    wait_until(lambda: statuses(waiting) == {"new": 30}, message=lambda: manager.log)
    book.recovered("signal to the release of the local queue", watch.seconds, within=3)
    assert manager.process.poll() is None, "it waits for what runs"
    gate.touch()
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert all_are(running, "finished")
    released = Task.objects.filter(pk__in=waiting)
    assert set(released.values_list("attempts", "rescues", "manager_id")) == {(0, 0, None)}
    assert len(set(released.values_list("updated_at", flat=True))) == 1, "one statement"
    assert not ManagerProcess.objects.exists()


@BOTH
def test_tasks_longer_than_the_grace_are_released_uncharged(
    start_manager: StartManager, book: Book, gate: Path, number: int
) -> None:
    manager = start_manager(settings={"PARTISAN_SHUTDOWN_GRACE_SECONDS": 1})
    ids = book.begin(*[WaitForFile(str(gate))] * 2)
    watch = Stopwatch()
    manager.send(number)
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert watch.seconds >= 1
    book.recovered("stop with a grace of 1 s", watch.seconds, within=6)
    assert set(Task.objects.values_list("status", "attempts", "rescues")) == {("new", 0, 0)}
    gate.touch()
    start_manager()
    wait_until(lambda: all_are(ids, "finished"))
    assert set(Task.objects.values_list("attempts", flat=True)) == {1}


@BOTH
def test_a_second_signal_stops_at_once(
    start_manager: StartManager, book: Book, gate: Path, number: int
) -> None:
    manager = start_manager()
    ids = book.begin(*[WaitForFile(str(gate))] * 5, running=2)
    manager.send(number)
    wait_until(lambda: "stopping" in manager.log)
    watch = Stopwatch()
    # Another one within a second counts as the same wish.
    wait_until(lambda: _insists(manager, number), interval=0.2)
    assert manager.wait_for_exit() == ExitCode.FORCED
    book.recovered("first to second signal and exit", watch.seconds, within=8)
    assert set(Task.objects.values_list("status", "attempts")) == {("new", 0)}
    book.waiting.update(ids)


def test_five_signals_in_a_row_are_one_wish(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager()
    running = book.begin(*[WaitForFile(str(gate))] * 2)
    for _ in range(5):
        manager.send(signal.SIGTERM)
    wait_until(lambda: "stopping" in manager.log)
    gate.touch()
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert all_are(running, "finished")
    assert "Traceback" not in manager.log


@BOTH
def test_a_signal_during_the_start_ends_in_order(
    start_manager: StartManager, book: Book, number: int
) -> None:
    book.waiting.update(book.enqueue(*[Note()] * 5))
    manager = start_manager(is_waiting=False)
    wait_until(lambda: "partisan/parent" in " ".join(manager.process.cmdline()))
    manager.send(number)
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert "Traceback" not in manager.log


def test_a_signal_to_the_whole_group_is_the_managers_business_alone(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager()
    ids = book.begin(*[WaitForFile(str(gate))] * 2)
    for process in manager.processes():
        process.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in manager.log)
    gate.touch()
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert all_are(ids, "finished")
    assert len(done(ids)) == 2


@pytest.mark.postgresql
def test_a_peer_starts_at_once_what_a_stopping_manager_releases(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    # Its own two tasks stay where they are until the peer has done all others.
    north = {"PARTISAN_NODE_NAME": "north", "PARTISAN_SHUTDOWN_GRACE_SECONDS": HANG_SECONDS}
    manager = start_manager(settings=north, queue=HOARDING)
    book.begin(*[WaitForFile(str(gate))] * 2)
    waiting = book.enqueue(*[Note()] * 100)
    wait_until(lambda: statuses(waiting) == {"in_process": 100})
    start_manager(settings={"PARTISAN_NODE_NAME": "south"}, queue={"SLEEP_DELAY_SECONDS": 60})
    watch = Stopwatch()
    manager.send(signal.SIGTERM)
    wait_until(lambda: done(waiting))
    book.recovered("SIGTERM to a released task's end at a peer", watch.seconds)
    wait_until(lambda: all_are(waiting, "finished"))
    gate.touch()
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert set(Task.objects.values_list("attempts", "rescues")) == {(1, 0)}


def _insists(manager: Manager, number: int) -> bool:
    """Send the signal once more unless it has been taken for a second wish."""
    if "killing" in manager.log:
        return True
    manager.send(number)
    return False
