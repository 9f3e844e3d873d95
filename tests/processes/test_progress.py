"""Running tasks tell how far they are: soon, cheaply, and the last word is never lost."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from django_partisan.models import Progress, Task, TaskProgress
from tests.app.long_tasks import TellAtomically, TellProgress
from tests.app.partisan_tasks import Note
from tests.processes.conftest import StartManager
from tests.support.harness import kill
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are


def told_by(task_id: int) -> TaskProgress | None:
    return Task.objects.get(pk=task_id).progress


def has_told(task_id: int, done: int, message: str = "") -> Callable[[], bool]:
    def has() -> bool:
        told = told_by(task_id)
        return told is not None and (told.done, told.message) == (done, message)

    return has


def test_progress_is_seen_while_the_task_runs_and_stays(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager()
    (task_id,) = book.begin(TellProgress(100, str(gate)))
    # The last of a hundred that came within the same second, and nothing came after it.
    wait_until(has_told(task_id, 100), message=lambda: f"{told_by(task_id)}\n{manager.log}")
    assert Task.objects.get(pk=task_id).status == "in_process"
    gate.touch()
    wait_until(lambda: all_are([task_id], "finished"))
    assert has_told(task_id, 100, "gate")()


@pytest.mark.parametrize("processor", [TellProgress, TellAtomically])
def test_the_last_word_of_a_task_is_never_lost(
    start_manager: StartManager, book: Book, processor: type[TellProgress]
) -> None:
    start_manager()
    ids = book.enqueue(*(processor(number) for number in range(100)))
    wait_until(lambda: all_are(ids, "finished"))
    wait_until(lambda: Progress.objects.count() == 100)
    # That of an ATOMIC task follows its end.
    wait_until(lambda: set(Progress.objects.values_list("done", flat=True)) == set(range(100)))


def test_a_killed_worker_has_told_what_the_manager_had_heard(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    (task_id,) = book.begin(TellProgress(7, str(gate)))
    wait_until(has_told(task_id, 7))
    kill(manager.workers()[0].pid)
    wait_until(lambda: Task.objects.get(pk=task_id).rescues == 1, message=lambda: manager.log)
    gate.touch()
    wait_until(lambda: all_are([task_id], "finished"))
    assert has_told(task_id, 7, "gate")()


def test_a_stopped_manager_tells_nothing_of_a_task_that_a_peer_has_rescued(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("one manager serves the file")
    short = {"PARTISAN_DEAD_AFTER_SECONDS": 6.0}
    stopped = start_manager(queue={"WORKERS_COUNT": 1}, settings=short)
    (task_id,) = book.begin(TellProgress(7, str(gate)))
    wait_until(has_told(task_id, 7))
    stopped.send(signal.SIGSTOP)
    gate.touch()  # Its worker tells on, and nobody listens.
    peer = start_manager(queue={"WORKERS_COUNT": 1}, settings=short)
    wait_until(lambda: all_are([task_id], "finished"), message=lambda: peer.log)
    wait_until(has_told(task_id, 7, "gate"))
    lease = Progress.objects.get(pk=task_id).lease
    stopped.send(signal.SIGCONT)
    book.run(*[Note()] * 20)
    stopped.stop()
    row = Progress.objects.get(pk=task_id)
    assert row.lease == lease == Task.objects.get(pk=task_id).lease
