"""Tasks that are cancelled while they wait, wait for a worker, or run."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from django_partisan.lifecycle import request_cancel
from django_partisan.models import Attempt, Task
from tests.app.models import Ledger
from tests.app.partisan_tasks import Note, Sleep, WaitForFile
from tests.app.stopped_tasks import (
    BlockInC,
    CancelItself,
    RetryAlways,
    SwallowEverything,
    TidyUpWhenTimedOut,
)
from tests.processes.conftest import StartManager
from tests.support.harness import HOARDING, SHORT_LIVES, Stopwatch, kill
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, assert_no_other_was_charged, started, worker_of

CANCELLED = "django_partisan.exceptions.TaskCancelled"


def test_running_tasks_are_stopped_and_their_workers_replaced(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 3})
    ids = book.begin(Sleep(60), RetryAlways(), TidyUpWhenTimedOut())
    watch = Stopwatch()
    assert request_cancel(ids) == ([], ids)
    wait_until(lambda: all_are(ids, "cancelled"), message=lambda: manager.log)
    book.recovered("cancel to cancelled", watch.seconds, within=6)
    told = Attempt.objects.values_list("task_id", "outcome", "error_type").order_by("task_id")
    assert list(told) == [(task_id, "cancelled", CANCELLED) for task_id in ids]
    book.run(Note())
    assert worker_of(book.ids[-1]) not in map(worker_of, ids)


def test_tasks_that_do_not_stop_are_killed_and_nobody_else(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 3})
    (bystander,) = book.begin(WaitForFile(str(gate)))
    stubborn = book.begin(SwallowEverything(), BlockInC())
    for task_id in stubborn:
        assert Task.objects.get(pk=task_id).cancel()
    behind = book.enqueue(*[Note()] * 20)
    wait_until(lambda: all_are(stubborn, "cancelled"), message=lambda: manager.log)
    assert Attempt.objects.count() == 2
    for attempt in Attempt.objects.all():
        assert "It did not stop within 0.5 s after that" in attempt.message
    wait_until(lambda: all_are(behind, "finished"), message=lambda: manager.log)
    gate.touch()
    wait_until(lambda: all_are([bystander], "finished"))
    assert_no_other_was_charged(stubborn)


def test_what_is_claimed_and_has_not_started_never_runs(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1, **HOARDING})
    book.run(*[WaitForFile()] * 30)
    (busy,) = book.begin(WaitForFile(str(gate)))
    ids = book.enqueue(*[Note()] * 40)
    wait_until(lambda: all_are(ids, "in_process"), message=lambda: manager.log)
    assert request_cancel(ids[::2]) == ([], ids[::2])
    wait_until(lambda: all_are(ids[::2], "cancelled"), message=lambda: manager.log)
    gate.touch()
    wait_until(lambda: all_are([busy, *ids[1::2]], "finished"), message=lambda: manager.log)
    assert not started(ids[::2])
    assert set(Task.objects.filter(pk__in=ids[::2]).values_list("attempts", flat=True)) == {0}
    assert not Attempt.objects.exists()


def test_a_chunk_behind_a_cancelled_task_runs_all_the_same(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1, **HOARDING})
    book.run(*[WaitForFile()] * 30)
    busy, *behind = book.enqueue(WaitForFile("/never"), *[WaitForFile()] * 20)
    wait_until(lambda: started([busy]) and all_are(behind, "in_process"))
    assert request_cancel([busy, behind[3]]) == ([], [busy, behind[3]])
    left = [task_id for task_id in behind if task_id != behind[3]]
    wait_until(lambda: all_are(left, "finished"), message=lambda: manager.log)
    assert all_are([busy, behind[3]], "cancelled")
    assert not started([behind[3]])
    assert set(Task.objects.values_list("rescues", "crashes")) == {(0, 0)}


def test_the_manager_that_has_the_task_is_told_of_it_even_where_nothing_is_notified(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(settings={"PARTISAN_NOTIFY": False})
    (task_id,) = book.begin(Sleep(60))
    assert Task.objects.get(pk=task_id).cancel()
    watch = Stopwatch()
    wait_until(lambda: all_are([task_id], "cancelled"), message=lambda: manager.log)
    book.recovered("cancel to cancelled by polling", watch.seconds, within=7)


def test_tasks_end_once_however_cancel_and_end_meet(
    start_manager: StartManager, book: Book
) -> None:
    """Cancels short tasks while they run, start and end."""
    manager = start_manager(queue={"WORKERS_COUNT": 3})
    for _ in range(15):
        ids = book.enqueue(*[Sleep(0.005)] * 12)
        wait_until(partial(started, ids))
        for task_id in ids:
            Task.objects.get(pk=task_id).cancel()
    wait_until(
        lambda: not Task.objects.filter(status__in=["new", "in_process"]).exists(),
        message=lambda: manager.log,
    )
    assert set(Task.objects.values_list("status", flat=True)) <= {"finished", "cancelled"}
    assert set(Task.objects.values_list("rescues", "crashes")) == {(0, 0)}
    wait_until(lambda: len(manager.workers()) == 3)


def test_a_cancelled_task_does_not_run_again_when_its_worker_dies(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    (task_id,) = book.begin(SwallowEverything())
    pid = Ledger.objects.get().pid
    Task.objects.get(pk=task_id).cancel()
    kill(pid)
    wait_until(lambda: all_are([task_id], "cancelled"), message=lambda: manager.log)
    assert started([task_id])[task_id] == 1


def test_a_cancelled_task_does_not_run_again_after_its_manager(
    start_manager: StartManager, book: Book
) -> None:
    first = start_manager(queue={"WORKERS_COUNT": 1}, settings=SHORT_LIVES)
    (task_id,) = book.begin(SwallowEverything())
    first.kill()
    Task.objects.get(pk=task_id).cancel()
    second = start_manager()
    wait_until(lambda: all_are([task_id], "cancelled"), message=lambda: second.log)
    assert started([task_id])[task_id] == 1
    wait_until(lambda: not first.processes())


def test_a_task_can_cancel_itself(start_manager: StartManager, book: Book) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    (task_id,) = book.enqueue(CancelItself("the order is void"))
    wait_until(lambda: all_are([task_id], "cancelled"), message=lambda: manager.log)
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.message) == ("cancelled", "the order is void")
    book.run(Note())
    assert len(set(Ledger.objects.values_list("pid", flat=True))) == 1, "no worker is replaced"


@pytest.mark.postgresql
def test_a_request_reaches_the_one_of_several_managers_that_has_the_task(
    start_manager: StartManager, book: Book
) -> None:
    small = {"MIN_QUEUE_SIZE": 0, "MAX_QUEUE_SIZE": 1}
    managers = [start_manager(queue=small), start_manager(queue=small)]
    ids = book.begin(*[Sleep(60)] * 6, running=4)
    running = Task.objects.filter(pk__in=started(ids)).order_by("manager_id")
    first, *_, last = running
    assert first.manager_id != last.manager_id
    watch = Stopwatch()
    assert request_cancel([last.pk]) == ([], [last.pk])
    wait_until(lambda: all_are([last.pk], "cancelled"), message=lambda: managers[1].log)
    book.recovered("cancel to cancelled", watch.seconds, within=6)
    assert not Task.objects.exclude(pk=last.pk).exclude(status="in_process").exists()
    request_cancel(ids)
    wait_until(lambda: all_are(ids, "cancelled"))
