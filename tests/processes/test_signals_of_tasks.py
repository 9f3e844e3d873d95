"""Receivers hear of each event once, in the documented process, and harm nobody."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from django_partisan.lifecycle import request_cancel
from django_partisan.models import Attempt, ManagerProcess, Task
from django_partisan.signals import task_cancelled, task_enqueued
from tests.app.models import Ledger
from tests.app.partisan_tasks import (
    AtomicNote,
    ExitOnce,
    Fail,
    Note,
    PostponeTwice,
    Sleep,
    SucceedAtThird,
    WaitForFile,
)
from tests.app.receivers import ALL
from tests.processes.conftest import StartManager
from tests.support.harness import SHORT_LIVES, Manager
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are
from tests.support.listening import listening, told

pytestmark = pytest.mark.django_db(transaction=True)

NOTING = {"TESTS_RECEIVERS": "tests.app.receivers.note_all"}
NAMES = [signal.name for signal in ALL]


def heard_of(task_id: int, manager: Manager) -> list[str]:
    """Return what was told of a task, each with the process that told it: see in_turn()."""
    notes = Ledger.objects.filter(task_id=task_id, note__in=NAMES).order_by("pk")
    return in_turn(
        *(
            f"{name} {'manager' if pid == manager.pid else 'worker'}"
            for name, pid in notes.values_list("note", "pid")
        )
    )


def in_turn(*notes: str) -> list[str]:
    """Return notes in the order of each process; between two processes there is none."""
    return sorted(notes, key=lambda note: note.split()[1])


def test_each_process_tells_what_it_does(start_manager: StartManager, book: Book) -> None:
    manager = start_manager(settings=NOTING, queue={"WORKERS_COUNT": 3})
    with listening(task_enqueued, task_cancelled) as heard:
        [sleeping] = book.begin(Sleep(60))
        [waiting] = book.enqueue(Note(), execute_after=3600)
        request_cancel([sleeping, waiting])
        kinds = (Note, AtomicNote, SucceedAtThird, PostponeTwice, ExitOnce)
        ids = book.enqueue(*(kind() for kind in kinds))
        [failing] = book.enqueue(Fail("no"))
    assert sorted(told(heard)) == [
        ("task_cancelled", waiting),
        *(("task_enqueued", task_id) for task_id in sorted(book.ids)),
    ]
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    wait_until(lambda: all_are([sleeping, waiting], "cancelled"), message=lambda: manager.log)
    wait_until(lambda: all_are([failing], "error"), message=lambda: manager.log)
    assert manager.stop() == 0
    start, finish = "task_started worker", "task_finished manager"
    expected = {
        "Note": [start, finish],
        "AtomicNote": [start, "task_finished worker"],
        "SucceedAtThird": [*[start, "task_retried manager"] * 2, start, finish],
        "PostponeTwice": [*[start, "task_postponed manager"] * 2, start, finish],
        "ExitOnce": [start, "worker_died manager", "task_rescued manager", start, finish],
    }
    for kind, task_id in zip(kinds, ids, strict=True):
        assert heard_of(task_id, manager) == in_turn(*expected[kind.__name__]), kind
    assert heard_of(failing, manager) == in_turn(start, "task_failed manager")
    assert heard_of(sleeping, manager) == in_turn(start, "task_cancelled manager")
    assert heard_of(waiting, manager) == []
    assert heard_of(0, manager) == ["manager_started manager", "manager_stopped manager"]


def test_a_manager_tells_of_what_it_rescues(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    first = start_manager(settings={**NOTING, **SHORT_LIVES})
    [task_id] = book.begin(WaitForFile(str(gate)))
    first.kill()
    second = start_manager(settings={**NOTING, **SHORT_LIVES})
    gate.touch()
    wait_until(lambda: all_are([task_id], "finished"), message=lambda: second.log)
    assert second.stop() == 0
    assert "task_rescued manager" in heard_of(task_id, second)
    stopped = Ledger.objects.filter(note="manager_stopped")
    assert list(stopped.values_list("pid", "attempt")) == [(second.pid, 0)]


def test_receivers_that_misbehave_cost_no_outcome_and_may_enqueue(
    start_manager: StartManager, book: Book
) -> None:
    settings = {"TESTS_RECEIVERS": "tests.app.receivers.misbehave"}
    manager = start_manager(settings=settings, queue={"WORKERS_COUNT": 3})
    ids = book.enqueue(*[Note(number) for number in range(60)], AtomicNote(), AtomicNote())
    failing = book.enqueue(*[Fail(f"{number}") for number in range(5)])
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    wait_until(lambda: all_are(failing, "error"), message=lambda: manager.log)
    book.ids += wait_until(lambda: _follow_ups(5), message=lambda: manager.log)
    wait_until(lambda: all_are(book.ids[-5:], "finished"), message=lambda: manager.log)
    [row] = ManagerProcess.objects.all()
    assert manager.stop() == 0
    assert row.pid == manager.pid
    assert not Ledger.objects.filter(note="never committed").exists()
    enqueued = Ledger.objects.filter(note="task_enqueued")
    assert Counter(enqueued.values_list("pid", flat=True)) == {manager.pid: 5}
    assert Attempt.objects.count() == 5
    assert "the database cannot be used" not in manager.log
    assert manager.log.count("raise_error of task_finished raised ValueError") <= 4


def _follow_ups(count: int) -> list[int]:
    rows = Task.objects.filter(processor_class=Note().processor_name, arguments__args=["follow up"])
    ids = list(rows.values_list("pk", flat=True))
    return ids if len(ids) == count else []
