"""A worker or the process that starts workers is killed: rows 1 and 2 of the faults."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from django_partisan.models import Attempt, Task
from tests.app.models import Ledger
from tests.app.partisan_tasks import Note, WaitForFile
from tests.processes.conftest import StartManager
from tests.support.harness import HOARDING, Manager, Stopwatch, kill
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, done, has_begun_again, started


def test_a_killed_worker_costs_only_the_task_it_ran(
    start_manager: StartManager, book: Book, tmp_path: Path
) -> None:
    manager = start_manager(queue=HOARDING)
    book.run(*[WaitForFile()] * 30)
    gates = [tmp_path / "gate-1", tmp_path / "gate-2"]
    victim, bystander = book.enqueue(*[WaitForFile(str(gate)) for gate in gates])
    wait_until(lambda: started([victim]) and started([bystander]))
    chunk = book.enqueue(*[WaitForFile()] * 40)
    wait_until(lambda: all_are(chunk, "in_process"))
    claims = dict(Task.objects.filter(pk__in=chunk).values_list("pk", "claimed_at"))
    assert not started(chunk), "they wait behind the two that run"

    watch, worker = Stopwatch(), Ledger.objects.get(task_id=victim).pid
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: has_begun_again(victim))
    book.recovered("kill of a busy worker to its task's second start", watch.seconds, within=3)
    wait_until(lambda: len(manager.workers()) == 2)
    book.recovered("kill of a busy worker to its replacement", watch.seconds, within=3)
    gates[0].touch()
    wait_until(lambda: len(done(chunk)) == len(chunk), message="the chunk runs elsewhere")
    gates[1].touch()
    wait_until(lambda: all_are([victim, bystander, *chunk], "finished"))

    charged = Task.objects.get(pk=victim)
    assert (charged.crashes, charged.rescues, charged.attempts) == (1, 1, 2)
    attempt = Attempt.objects.get()
    assert (attempt.task_id, attempt.outcome) == (victim, "rescued")
    assert attempt.worker_pid == worker
    assert "SIGKILL" in attempt.message
    others = Task.objects.exclude(pk=victim)
    assert set(others.values_list("lease", "attempts", "rescues")) == {(1, 1, 0)}
    assert dict(others.filter(pk__in=chunk).values_list("pk", "claimed_at")) == claims


def test_a_hundred_killed_idle_workers_stall_nothing(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 4})
    book.faults = 100
    for _ in range(25):
        wait_until(lambda: len(manager.idle_workers()) == 4, message=lambda: manager.log)
        killed = {worker.pid for worker in manager.idle_workers()}
        for pid in killed:
            kill(pid)
        book.enqueue(*[Note()] * 3)
        wait_until(_is_full(manager, 4, without=killed), message=lambda: manager.log)
        # Else a worker that looks idle may just be handed one of them when it is killed.
        wait_until(lambda: all_are(book.ids, "finished"), message=lambda: manager.log)
    assert not Task.objects.exclude(rescues=0).exists()
    assert "replacing them slowly" in manager.log


def test_workers_killed_in_the_middle_of_a_stream_lose_nothing(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 3})
    book.faults = 8
    for _ in range(8):
        book.enqueue(*[Note()] * 60)
        kill(wait_until(manager.workers)[0].pid)
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: manager.log)
    wait_until(lambda: len(manager.workers()) == 3)


def test_a_killed_launcher_is_replaced_and_stalls_nothing(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager()
    (busy,) = book.begin(WaitForFile(str(gate)))
    worker = Ledger.objects.get().pid
    book.faults = 4
    for _ in range(4):
        launcher = wait_until(manager.launchers)[0]
        kill(launcher.pid)
        book.run(*[Note()] * 5)
        wait_until(_is_replaced(manager, launcher), message=lambda: manager.log)
        wait_until(lambda: len(manager.workers()) == 2)
    gate.touch()
    wait_until(lambda: all_are(book.ids, "finished"))
    assert Ledger.objects.filter(task_id=busy, note="done").get().pid == worker
    assert not Task.objects.exclude(rescues=0).exists()


def test_a_worker_killed_after_its_launcher_is_replaced_too(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager()
    (busy,) = book.begin(WaitForFile(str(gate)))
    kill(manager.launchers()[0].pid)
    wait_until(lambda: "starting a new one" in manager.log)
    kill(Ledger.objects.get().pid)
    wait_until(lambda: has_begun_again(busy), message=lambda: manager.log)
    gate.touch()
    wait_until(lambda: all_are(book.ids, "finished"))
    wait_until(lambda: len(manager.workers()) == 2)
    assert "SIGKILL" in Attempt.objects.get().message


@pytest.mark.parametrize("count", [1, 3])
def test_all_workers_killed_at_once_while_busy_come_back(
    start_manager: StartManager, book: Book, gate: Path, count: int
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": count})
    ids = book.begin(*[WaitForFile(str(gate))] * count)
    for worker in manager.workers():
        kill(worker.pid)
    wait_until(lambda: sum(started(ids).values()) == 2 * count, message=lambda: manager.log)
    gate.touch()
    wait_until(lambda: all_are(ids, "finished"))
    assert set(Task.objects.values_list("crashes", "attempts")) == {(1, 2)}


def _is_full(manager: Manager, count: int, *, without: set[int]) -> Callable[[], bool]:
    """Return a condition: it has all its workers again, and none of these."""

    def is_full() -> bool:
        pids = {worker.pid for worker in manager.workers()}
        return len(pids) == count and not pids & without

    return is_full


def _is_replaced(manager: Manager, launcher: psutil.Process) -> Callable[[], bool]:
    """Return a condition: there is a launcher, and another one."""
    return lambda: bool(set(manager.launchers()) - {launcher})
