"""Workers that run several tasks at once, each as if it were alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from django_partisan import lifecycle
from django_partisan.models import Attempt, ManagerProcess, Task
from tests.app.async_tasks import (
    AsyncBlock,
    AsyncExit,
    AsyncFailing,
    AsyncFork,
    AsyncForkBeside,
    AsyncLeave,
    AsyncLimited,
    AsyncMeet,
    AsyncMix,
    AsyncNote,
    AsyncSleep,
    AsyncTelling,
    AsyncWaitForFile,
    ThreadFork,
    ThreadLimited,
    ThreadMeet,
    ThreadTelling,
    ThreadWait,
)
from tests.app.models import Ledger
from tests.app.partisan_tasks import AtomicNote, Note, WaitForFile
from tests.processes.conftest import StartManager
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, assert_no_other_was_charged, done, started, statuses

ONE = {"WORKERS_COUNT": 1, "CONCURRENCY": 20}
TWO = {"WORKERS_COUNT": 2, "CONCURRENCY": 20}


def workers() -> set[int]:
    return set(Ledger.objects.values_list("pid", flat=True))


@pytest.mark.parametrize("kind", [AsyncMeet, ThreadMeet])
def test_as_many_run_at_once_as_the_queue_says(
    start_manager: StartManager, book: Book, tmp_path: Path, kind: type[AsyncMeet]
) -> None:
    manager = start_manager(queue=ONE)
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    ids = book.enqueue(*[kind(str(meeting), 20)] * 20)
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    assert len(workers()) == 1
    book.run(Note(), AsyncNote(), *[AsyncNote()] * 50)


@pytest.mark.parametrize("kind", [AsyncTelling, ThreadTelling])
def test_what_each_tells_is_its_own(
    start_manager: StartManager, book: Book, tmp_path: Path, kind: type[AsyncTelling]
) -> None:
    manager = start_manager(queue=ONE)
    ids = book.enqueue(*(kind(str(tmp_path), 20, f"no. {number}") for number in range(20)))
    wait_until(lambda: all_are(ids, "error"), message=lambda: manager.log)
    for number, task in enumerate(Task.objects.filter(pk__in=ids).order_by("pk")):
        assert task.log.count("\n") == 1
        assert task.log.endswith(f"logged no. {number}\n")
        assert task.progress is not None
        assert task.progress.message == f"half of no. {number}"
        assert f"printed no. {number}" in manager.log
    assert lifecycle.requeue(ids) == ids
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    results = Task.objects.filter(pk__in=ids).order_by("pk").values_list("result", flat=True)
    assert [*results] == [{"of": f"no. {number}"} for number in range(20)]


def test_no_more_run_at_once_than_the_queue_says(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    start_manager(queue={"WORKERS_COUNT": 2, "CONCURRENCY": 3})
    ids = book.begin(*[AsyncWaitForFile(str(gate))] * 10, running=6)
    connection.close()
    wait_until(lambda: len(started(ids)) == 6)
    snapshots = [*ManagerProcess.objects.values_list("snapshot", flat=True)]
    wait_until(lambda: _told_of() == set(started(ids)), message=lambda: str(snapshots))
    assert len(started(ids)) == 6
    gate.touch()
    wait_until(lambda: all_are(ids, "finished"))


def _told_of() -> set[int]:
    (snapshot,) = ManagerProcess.objects.values_list("snapshot", flat=True)
    told = [
        each
        for worker in snapshot.get("workers", ())
        for each in (worker, *worker.get("beside", ()))
    ]
    return {each["task"] for each in told if "task" in each}


def test_what_may_not_share_runs_alone_and_does_not_wait_for_ever(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue=TWO)
    long = book.begin(*[AsyncWaitForFile(str(gate))] * 3)
    other = book.enqueue(*[AsyncNote()] * 10)
    wait_until(lambda: all_are(other, "finished"))
    alone = book.enqueue(WaitForFile(str(gate)), AtomicNote(), *[Note()] * 30)
    beside = book.enqueue(*[AsyncNote()] * 10)
    wait_until(lambda: all_are(beside, "finished"), message=lambda: manager.log)
    gate.touch()
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: str(statuses(alone)))
    assert len(long) == 3
    assert len(workers()) == 2


def test_each_task_ends_in_its_own_way(start_manager: StartManager, book: Book) -> None:
    manager = start_manager(queue=ONE)
    ways = ["return", "retry", "postpone"] * 10
    good = book.enqueue(*map(AsyncFailing, ways), *[AsyncNote()] * 20)
    bad = book.enqueue(*map(AsyncFailing, ["fail", "exit", "child exits"] * 4))
    wait_until(
        lambda: all_are(good, "finished") and all_are(bad, "error"),
        message=lambda: f"{statuses(book.ids)}{manager.log}",
    )
    assert started(good[:3]) == dict(zip(good[:3], (1, 3, 2), strict=True))
    assert len(workers()) == 1
    for task_id in bad:
        assert f"[task_id={task_id} processor=tests.app.async_tasks.AsyncFailing" in manager.log


def test_nothing_of_a_task_reaches_those_beside_it_and_after_it(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue=ONE)
    ids = book.enqueue(*map(AsyncMix, range(200)))
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    results: dict[int, Any] = Task.objects.in_bulk(ids)
    clean = results[ids[0]].result[:2]
    for number, task_id in enumerate(ids):
        found, before, is_own, kept = results[task_id].result
        clean_before = clean[1] if connection.vendor == "postgresql" else f"{number + 1001}ms, 0"
        assert found == clean[0], number
        assert before.startswith(clean_before), number
        assert (is_own, kept) == (True, [True, True]), number
    assert len(workers()) == 1


@pytest.mark.postgresql
def test_connections_are_as_many_as_tasks_at_once_and_none_stays_in_a_transaction(
    start_manager: StartManager, book: Book, tmp_path: Path
) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    before = _connections()
    start_manager(queue={"WORKERS_COUNT": 1, "CONCURRENCY": 5})
    book.run(*[ThreadMeet(str(meeting), 5)] * 5, *map(AsyncMix, range(50)), *[Note()] * 5)
    # Those of the manager, of the threads, of the main thread, and of asyncio.to_thread().
    assert len(_connections()) - len(before) <= 1 + 5 + 1 + 5
    assert not [state for state in _connections() if "transaction" in state]


def _connections() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return [row[0] or "" for row in cursor.fetchall()]


def test_one_is_cancelled_and_those_beside_it_are_not_touched(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue=ONE)
    beside = book.begin(*[AsyncWaitForFile(str(gate))] * 8, ThreadWait(str(gate)))
    cancelled = book.begin(AsyncSleep(60), ThreadWait(str(gate)))
    for task in Task.objects.filter(pk__in=cancelled):
        task.cancel()
    wait_until(lambda: all_are(cancelled, "cancelled"), message=lambda: manager.log)
    assert Ledger.objects.filter(task_id=cancelled[0], note="cancelled").exists()
    gate.touch()
    wait_until(lambda: all_are(beside, "finished"))
    assert_no_other_was_charged(cancelled)
    assert started(beside) == dict.fromkeys(beside, 1)


def test_limits_end_their_own_tasks_alone(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue=ONE)
    beside = book.begin(*[AsyncWaitForFile(str(gate))] * 5, ThreadWait(str(gate)))
    late = book.enqueue(AsyncLimited("wait"), AsyncLimited("block"), ThreadLimited("in Python"))
    wait_until(lambda: all_are(late, "error"), message=lambda: manager.log)
    attempts = Attempt.objects.filter(task_id__in=late)
    assert {a.error_type.rpartition(".")[2] for a in attempts} == {"TaskTimedOut"}
    assert not any("killed" in attempt.message for attempt in attempts)
    gate.touch()
    wait_until(lambda: all_are(beside, "finished"), message=lambda: manager.log)
    assert started(beside) == dict.fromkeys(beside, 1)


def test_what_a_coroutine_leaves_behind_is_cancelled_with_its_end(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    start_manager(queue=ONE)
    (beside,) = book.begin(AsyncWaitForFile(str(gate)))
    book.run(*[AsyncLeave()] * 5)
    assert Ledger.objects.filter(note="left and cancelled").count() == 5
    gate.touch()
    wait_until(lambda: all_are([beside], "finished"))


@pytest.mark.parametrize("kind", [AsyncFork, AsyncForkBeside, ThreadFork])
def test_a_process_that_a_task_forks_does_nothing_of_those_beside_it(
    start_manager: StartManager, book: Book, gate: Path, tmp_path: Path, kind: type[AsyncFork]
) -> None:
    manager = start_manager(queue=ONE)
    beside = book.begin(*[AsyncWaitForFile(str(gate))] * 5)
    (forking,) = book.enqueue(kind(str(tmp_path / "forked")))
    wait_until(lambda: all_are([forking], "finished"), message=lambda: manager.log)
    assert (tmp_path / "forked").exists()
    gate.touch()
    wait_until(lambda: all_are(beside, "finished"), message=lambda: manager.log)
    assert done(beside) == started(beside) == dict.fromkeys(beside, 1)


@pytest.mark.parametrize("stubborn", [AsyncLimited("go on"), ThreadLimited("in C")])
def test_a_task_that_does_not_stop_is_killed_and_those_beside_it_run_again_uncharged(
    start_manager: StartManager, book: Book, gate: Path, stubborn: AsyncLimited
) -> None:
    manager = start_manager(queue=ONE)
    beside = book.begin(*[AsyncWaitForFile(str(gate))] * 5)
    (late,) = book.enqueue(stubborn)
    wait_until(lambda: all_are([late], "error"), message=lambda: manager.log)
    assert "so its worker was killed" in Attempt.objects.get(task_id=late).message
    wait_until(lambda: set(started(beside).values()) == {2}, message=lambda: manager.log)
    gate.touch()
    wait_until(lambda: all_are(beside, "finished"))
    assert_no_other_was_charged([late])


def test_who_blocks_the_loop_is_named_and_those_beside_it_finish(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue=ONE)
    beside = book.begin(*[AsyncSleep(0.5)] * 9)
    (culprit,) = book.begin(AsyncBlock(str(gate)))
    said = f"task {culprit} (tests.app.async_tasks.AsyncBlock) has kept the event loop of worker"
    wait_until(lambda: said in manager.log, message=lambda: manager.log)
    assert "time.sleep(0.01)" in manager.log
    gate.touch()
    wait_until(lambda: all_are([culprit, *beside], "finished"), message=lambda: manager.log)
    assert started(beside) == dict.fromkeys(beside, 1)


def test_who_is_late_because_of_another_one_is_not_charged(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue={**ONE, "WORKERS_COUNT": 1})
    (late,) = book.begin(AsyncLimited("wait"))
    (culprit,) = book.begin(AsyncBlock(str(gate)))
    wait_until(lambda: len(started([culprit])) and started([culprit])[culprit] == 2)
    task = Task.objects.get(pk=culprit)
    assert (task.rescues, task.crashes) == (1, 0), manager.log
    gate.touch()
    wait_until(lambda: all_are([culprit], "finished"), message=lambda: manager.log)
    wait_until(lambda: all_are([late], "error"), message=lambda: manager.log)
    assert Task.objects.get(pk=late).attempts == 1


def test_a_process_that_dies_charges_nobody_until_the_culprit_dies_alone(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue=ONE, settings={"PARTISAN_MAX_RESCUES": 2})
    others = book.begin(*[AsyncWaitForFile(str(gate))] * 10, ThreadWait(str(gate)))
    (culprit,) = book.begin(AsyncExit(str(gate)))
    gate.touch()
    wait_until(lambda: all_are([culprit], "error"), message=lambda: manager.log)
    wait_until(lambda: all_are(others, "finished"), message=lambda: manager.log)
    (task,) = Task.objects.filter(pk=culprit)
    assert (task.rescues, task.crashes) == (3, 3)
    counters = set(Task.objects.filter(pk__in=others).values_list("attempts", "crashes"))
    assert counters == {(1, 0)}
    messages = Attempt.objects.filter(task_id=culprit).values_list("message", flat=True)
    assert "tasks in it, and each runs alone next" in messages[0]


def test_the_death_of_a_manager_charges_nobody(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    first = start_manager(queue=ONE)
    ids = book.begin(*[AsyncWaitForFile(str(gate))] * 10, *[ThreadWait(str(gate))] * 5)
    first.kill()
    manager = start_manager(queue=ONE)
    gate.touch()
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    assert set(Task.objects.values_list("attempts", "crashes")) == {(1, 0)}


def test_a_stop_lets_all_that_runs_finish(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue=ONE)
    ids = book.begin(*[AsyncWaitForFile(str(gate))] * 10, *[ThreadWait(str(gate))] * 5)
    manager.send(15)
    wait_until(lambda: "stopping: running tasks have" in manager.log)
    gate.touch()
    assert manager.wait_for_exit() == 0
    assert all_are(ids, "finished")
    assert started(ids) == dict.fromkeys(ids, 1)


def test_workers_are_replaced_without_harm_to_what_they_run(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue={**TWO, "TASKS_PER_WORKER_INSTANCE": 20})
    book.run(*[AsyncNote()] * 200)
    assert len(workers()) >= 5
    assert set(Task.objects.values_list("attempts", flat=True)) == {1}
