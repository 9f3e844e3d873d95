"""Tasks go on from their checkpoints, whatever has ended the attempt before."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from django.db import connection

from django_partisan.lifecycle import stored_checkpoint
from django_partisan.models import Progress, Task
from tests.app.long_tasks import GoOn, GoOnAtomically, GoOnDurably, SaveAtomically, SaveOften
from tests.app.models import Ledger
from tests.processes.conftest import StartManager
from tests.support.harness import SHORT_LIVES, kill
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are

KINDS = (GoOn, GoOnDurably, GoOnAtomically)
STEPS, STOP_AT = 40, 25


def done_by(task_id: int) -> int:
    """Return how many steps the stored checkpoint says are done."""
    stored = stored_checkpoint(task_id)
    return 0 if stored is None else json.loads(stored.text)["done"]


def notes_of(task_id: int, word: str) -> list[int]:
    """Return the numbers that executions have noted behind a word, in order."""
    rows = Ledger.objects.filter(task_id=task_id, note__startswith=f"{word} ").order_by("pk")
    return [int(note.split()[1]) for note in rows.values_list("note", flat=True)]


def until_finished(task_id: int) -> None:
    wait_until(lambda: all_are([task_id], "finished"))
    assert stored_checkpoint(task_id) is None


@pytest.mark.parametrize("how", ["error", "postpone"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_task_goes_on_where_it_was(
    start_manager: StartManager, book: Book, kind: type[GoOn], how: str
) -> None:
    start_manager()
    (task_id,) = book.enqueue(kind(STEPS, how, STOP_AT))
    until_finished(task_id)
    assert notes_of(task_id, "from") == [0, STOP_AT]
    assert notes_of(task_id, "step") == list(range(STEPS))


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_after_the_death_of_its_worker(
    start_manager: StartManager, book: Book, gate: Path, kind: type[GoOn]
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    (task_id,) = book.begin(kind(STEPS, "wait", STOP_AT, str(gate)))
    wait_until(lambda: done_by(task_id) == STOP_AT, message=lambda: manager.log)
    kill(manager.workers()[0].pid)
    until_finished(task_id)
    assert notes_of(task_id, "from") == [0, STOP_AT]
    assert notes_of(task_id, "step") == list(range(STEPS))


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_after_the_death_of_its_manager(
    start_manager: StartManager, book: Book, gate: Path, kind: type[GoOn]
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    (task_id,) = book.begin(kind(STEPS, "wait", STOP_AT, str(gate)))
    wait_until(lambda: done_by(task_id) == STOP_AT, message=lambda: manager.log)
    manager.kill()
    start_manager(queue={"WORKERS_COUNT": 1})
    until_finished(task_id)
    assert notes_of(task_id, "from") == [0, STOP_AT]
    assert notes_of(task_id, "step") == list(range(STEPS))


def test_what_a_stopping_manager_kills_goes_on_elsewhere_from_its_last_checkpoint(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(settings={"PARTISAN_SHUTDOWN_GRACE_SECONDS": 1.5})
    (task_id,) = book.begin(GoOn(STEPS, "wait", STOP_AT, str(gate)))
    wait_until(lambda: STOP_AT - 1 in notes_of(task_id, "step"))
    manager.send(signal.SIGTERM)
    manager.wait_for_exit()
    task = Task.objects.get(pk=task_id)
    assert (task.status, task.attempts) == ("new", 0)
    assert done_by(task_id) == STOP_AT
    start_manager()
    until_finished(task_id)
    assert notes_of(task_id, "from") == [0, STOP_AT]


def test_a_stopped_manager_changes_nothing_of_a_task_that_a_peer_has_resumed(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("one manager serves the file")
    one = {"queue": {"WORKERS_COUNT": 1}, "settings": SHORT_LIVES}
    stopped = start_manager(**one)
    (task_id,) = book.begin(GoOn(STEPS, "wait", STOP_AT, str(gate)))
    wait_until(lambda: done_by(task_id) == STOP_AT)
    stopped.send(signal.SIGSTOP)
    gate.touch()  # Its worker goes on to the end, and nobody hears of it.
    wait_until(lambda: notes_of(task_id, "step")[-1:] == [STEPS - 1])
    peer = start_manager(**one)
    wait_until(lambda: all_are([task_id], "finished"), message=lambda: peer.log)
    stopped.send(signal.SIGCONT)
    stopped.stop()
    assert stored_checkpoint(task_id) is None
    assert notes_of(task_id, "from") == [0, STOP_AT]
    row = Progress.objects.get(pk=task_id)
    assert row.lease == Task.objects.get(pk=task_id).lease


def test_many_checkpoints_are_saved_while_the_task_runs(
    start_manager: StartManager, book: Book
) -> None:
    start_manager()
    (task_id,) = book.enqueue(SaveOften(100_000))
    wait_until(lambda: all_are([task_id], "finished"))
    print("seconds for 100,000 checkpoints:", Task.objects.get(pk=task_id).result)
    # The last one was written before the end, by its number.
    assert Progress.objects.get().number >= 100_000


def test_an_atomic_task_leaves_no_checkpoint(start_manager: StartManager, book: Book) -> None:
    start_manager()
    ids = book.enqueue(*[SaveAtomically()] * 20)
    wait_until(lambda: all_are(ids, "finished"))
    assert not any(map(stored_checkpoint, ids))
    assert Progress.objects.count() == 20
