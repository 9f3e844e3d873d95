"""Signals meet whom they are meant for: the manager, or what a task has started itself."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from django_partisan.config.const import ExitCode
from django_partisan.models import Attempt, Task
from tests.app.models import Ledger
from tests.app.parents import (
    HaveChildren,
    HaveChildrenForASecond,
    SignalChildren,
    SignalItself,
    UsePools,
    WaitForProgram,
)
from tests.app.partisan_tasks import Note, WaitForFile
from tests.processes.conftest import StartManager
from tests.support import slow_forks
from tests.support.harness import is_running, kill
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, done, worker_of

DEADLY = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1]
HARMLESS = [*DEADLY, signal.SIGUSR2]


def test_ctrl_c_is_the_managers_alone_also_while_a_task_waits_for_a_program(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager()
    (pk,) = book.begin(WaitForProgram(str(gate)))
    # What a terminal does: its manager leads a group as a command of a shell does.
    os.killpg(manager.pid, signal.SIGINT)
    wait_until(lambda: "stopping" in manager.log)
    gate.touch()
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert all_are([pk], "finished"), manager.log


def test_children_of_a_task_end_by_the_signals_that_other_programs_end_by(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue={"WORKERS_COUNT": 1})
    numbers = [int(number) for number in DEADLY]
    (pk,) = book.enqueue(SignalChildren(numbers))
    wait_until(lambda: all_are([pk], "finished"))
    ends: Any = Task.objects.get(pk=pk).result
    assert [program for _, program in ends] == [-number for number in DEADLY]
    for number, (forked, _) in zip(DEADLY, ends, strict=True):
        interrupted = {1} if number == signal.SIGINT else set()  # by KeyboardInterrupt
        assert forked in {-number} | interrupted


def test_children_of_a_task_end_by_a_signal_that_comes_while_they_begin(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue={"WORKERS_COUNT": 1}, environment=slow_forks.VARIABLES)
    (pk,) = book.enqueue(SignalChildren([int(number) for number in DEADLY], pause=0.05))
    wait_until(lambda: all_are([pk], "finished"))


def test_pools_of_processes_end(start_manager: StartManager, book: Book) -> None:
    start_manager(queue={"WORKERS_COUNT": 2})
    ids = book.enqueue(*[UsePools(15)] * 2)
    wait_until(lambda: all_are(ids, "finished"))


def test_a_handler_that_the_task_has_set_itself_is_its_childrens_too(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue={"WORKERS_COUNT": 1})
    (pk,) = book.enqueue(SignalItself())
    wait_until(lambda: all_are([pk], "finished"))
    assert Task.objects.get(pk=pk).result == 7


def test_signals_to_launcher_and_workers_change_nothing(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager()
    ids = book.begin(*[WaitForFile(str(gate))] * 2)
    before = {process.pid for process in manager.processes()}
    for process in (*manager.launchers(), *manager.workers()):
        for number in HARMLESS:
            process.send_signal(number)
    book.waiting.clear()
    gate.touch()
    wait_until(lambda: all_are(ids, "finished"))
    book.run(*[Note()] * 4)
    assert {process.pid for process in manager.processes()} == before
    assert set(Task.objects.values_list("attempts", "rescues")) == {(1, 0)}


def test_a_manager_that_is_asked_says_what_every_worker_does(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager()
    (pk,) = book.begin(WaitForFile(str(gate)))
    wait_until(lambda: len(re.findall(r"worker \d+ started", manager.log)) == 2)
    manager.send(signal.SIGUSR2)
    manager.send(signal.SIGUSR1)
    wait_until(lambda: "is idle" in manager.log, message=lambda: manager.log)
    told = f"(process {worker_of(pk)}) has run task {pk} (tests.app.partisan_tasks.WaitForFile) for"
    assert told in manager.log
    assert "manager" in manager.log
    gate.touch()
    wait_until(lambda: all_are([pk], "finished"))
    assert manager.stop() == ExitCode.CLEAN


def test_a_manager_under_nohup_outlives_its_terminal(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(prefix=("nohup",))
    ids = book.begin(WaitForFile(str(gate)))
    manager.send(signal.SIGHUP)
    book.run(*[Note()] * 3)
    gate.touch()
    wait_until(lambda: all_are(ids, "finished"))
    assert "stopping" not in manager.log
    assert manager.stop() == ExitCode.CLEAN


@pytest.mark.parametrize("is_launcher_killed", [False, True])
def test_a_killed_worker_takes_what_its_task_has_started_with_it(
    start_manager: StartManager, book: Book, gate: Path, is_launcher_killed: bool
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    (pk,) = book.begin(HaveChildren(str(gate)))
    children = _children(pk)
    if is_launcher_killed:
        kill(manager.launchers()[0].pid)
        wait_until(lambda: "starting a new one" in manager.log)
    kill(worker_of(pk))
    wait_until(lambda: not any(map(is_running, children)))
    gate.touch()
    wait_until(lambda: all_are([pk], "finished"), message=lambda: manager.log)
    _end_children(pk)


def test_a_hard_limit_takes_what_the_task_has_started_with_it(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue={"WORKERS_COUNT": 1})
    (pk,) = book.begin(HaveChildrenForASecond())
    children = _children(pk)
    wait_until(lambda: all_are([pk], "error"))
    assert "its worker was killed" in Attempt.objects.get(task_id=pk).message
    wait_until(lambda: not any(map(is_running, children)))


def test_the_end_of_the_grace_period_takes_what_tasks_have_started_with_it(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(settings={"PARTISAN_SHUTDOWN_GRACE_SECONDS": 1})
    (pk,) = book.begin(HaveChildren())
    children = _children(pk)
    assert manager.stop() == ExitCode.CLEAN
    wait_until(lambda: not any(map(is_running, children)))
    assert all_are([pk], "new")
    book.waiting.add(pk)


def test_what_a_task_leaves_behind_in_order_goes_on(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    gate.touch()
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    book.run(HaveChildren(str(gate)))
    assert manager.stop() == ExitCode.CLEAN
    assert done(book.ids)
    assert all(map(is_running, _children(book.ids[0])))
    _end_children(book.ids[0])


def _children(pk: int) -> list[int]:
    """Return what a task has started, once it has started everything."""
    wait_until(lambda: Ledger.objects.filter(task_id=pk, note="waits").exists())
    return list(Ledger.objects.filter(task_id=pk, note="child").values_list("pid", flat=True))


def _end_children(pk: int) -> None:
    for pid in _children(pk):
        kill(pid)
