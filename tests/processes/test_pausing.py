"""Queues and processors that are paused while managers have their tasks in hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from django_partisan.control import pause, pauses, resume
from django_partisan.models import Attempt, Task
from tests.app.partisan_tasks import Note, Sleep, WaitForFile
from tests.processes.conftest import StartManager
from tests.support.harness import HOARDING, SHORT_LIVES
from tests.support.helpers import command_environment, wait_until
from tests.support.ledger import Book, all_are, started

CHUNKS = {"WORKERS_COUNT": 2, **HOARDING}


def command(*arguments: str) -> str:
    """Run `manage.py partisan` in a process of its own, as an operator does on another host."""
    done = subprocess.run(
        [sys.executable, "-m", "django", "partisan", *arguments],
        env=command_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def waiting(ids: list[int]) -> bool:
    return all_are(ids, "new") and not Task.objects.filter(pk__in=ids).exclude(attempts=0).exists()


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="told"),
        pytest.param({"PARTISAN_NOTIFY": False}, id="polling", marks=pytest.mark.long),
    ],
)
def test_what_was_claimed_of_a_paused_queue_goes_back_uncharged_on_all_hosts(
    start_manager: StartManager, book: Book, gate: Path, settings: dict[str, bool]
) -> None:
    count = 1 if connection.vendor == "sqlite" else 2
    managers = [start_manager(queue=CHUNKS, settings=settings) for _ in range(count)]
    everything = book.enqueue(*[WaitForFile(str(gate))] * 300 * count)
    wait_until(lambda: all_are(everything, "in_process"), message=lambda: managers[0].log)
    wait_until(lambda: len(started(everything)) == 2 * count, message=lambda: managers[0].log)
    assert "is paused" in command("pause", "--queue", "default", "--reason", "the relay is down")
    running = list(started(everything))
    ids = sorted(set(everything) - set(running))
    wait_until(lambda: waiting(ids), message=lambda: managers[0].log)
    later = book.enqueue(Note())
    gate.touch()
    wait_until(lambda: all_are(running, "finished"), message=lambda: managers[0].log)
    assert waiting([*ids, *later])
    assert len(started(everything)) == 2 * count, "no more than the workers had begun"
    assert [row.reason for row in pauses()] == ["the relay is down"]
    assert resume(queue_name="default")
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: managers[0].log)
    assert not Attempt.objects.exists()
    assert set(Task.objects.values_list("attempts", "rescues")) == {(1, 0)}


def test_a_pause_lets_others_of_the_queue_pass_and_ends_by_itself(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue=CHUNKS)
    (running,) = book.begin(WaitForFile(str(gate)))
    (other,) = book.begin(Sleep(60))
    ids = book.enqueue(*[Note()] * 50)
    wait_until(lambda: all_are(ids, "in_process"), message=lambda: manager.log)
    row = pause(processor=Note)
    wait_until(lambda: waiting(ids), message=lambda: manager.log)
    ids += book.enqueue(*[Note()] * 50, priority=1)
    assert Task.objects.get(pk=other).cancel()
    passing = book.enqueue(*[WaitForFile()] * 50)
    wait_until(lambda: all_are(passing, "finished"), message=lambda: manager.log)
    held = Task.objects.filter(pk__in=ids, status="new", attempts=0, held_by=row.pk)
    wait_until(lambda: held.count() == 100, message=lambda: manager.log)
    book.recoveries.clear()
    type(row).objects.update(until=row.paused_at)
    gate.touch()
    wait_until(lambda: all_are([running, *ids], "finished"), message=lambda: manager.log)
    assert pauses() == []
    wait_until(lambda: not type(row).objects.exists(), message=lambda: manager.log)


def test_a_pause_outlives_the_manager_that_has_heard_of_it(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    first = start_manager(queue=CHUNKS, settings=SHORT_LIVES)
    book.begin(*[WaitForFile(str(gate))] * 2)
    ids = book.enqueue(*[Note()] * 50)
    wait_until(lambda: all_are(ids, "in_process"), message=lambda: first.log)
    first.send(19)  # SIGSTOP: it cannot give anything back
    pause(queue_name="default")
    first.kill()
    second = start_manager(queue=CHUNKS)
    wait_until(lambda: waiting(ids), message=lambda: second.log)
    assert [row.queue_name for row in pauses()] == ["default"]
    assert not started(ids)
    gate.touch()
    resume(queue_name="default")
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: second.log)


def test_a_task_that_expires_in_a_managers_hands_does_not_start(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1, **HOARDING})
    book.run(*[WaitForFile()] * 30)
    # What follows is handed out together with it, or waits beside the worker.
    (busy,) = book.enqueue(WaitForFile(str(gate)))
    behind = book.enqueue(*[WaitForFile()] * 40)
    lost = book.enqueue(*[WaitForFile()] * 40, expires=3)
    wait_until(lambda: all_are([*behind, *lost, busy], "in_process") and bool(started([busy])))
    wait_until(lambda: all_are(lost, "cancelled"), message=lambda: manager.log)
    assert all_are(behind, "in_process")
    gate.touch()
    wait_until(lambda: all_are([busy, *behind], "finished"), message=lambda: manager.log)
    assert not started(lost)
    assert set(Task.objects.filter(pk__in=lost).values_list("attempts", flat=True)) == {0}
    assert set(Attempt.objects.values_list("error_type", "number")) == {("TaskExpired", 1)}


def test_what_has_expired_before_a_manager_comes_is_swept(
    start_manager: StartManager, book: Book
) -> None:
    pause(queue_name="default")  # so that no claim meets them
    lost = book.enqueue(*[Note()] * 20, expires=0.001)
    kept = book.enqueue(*[Note()] * 20, expires=3600)
    manager = start_manager()
    wait_until(lambda: all_are(lost, "cancelled"), message=lambda: manager.log)
    resume(queue_name="default")
    wait_until(lambda: all_are(kept, "finished"), message=lambda: manager.log)
    assert not started(lost)
