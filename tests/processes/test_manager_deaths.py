"""The manager is killed or paused: rows 3 and 6 of the faults."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from django_partisan.models import Attempt, ManagerProcess, Task
from tests.app.models import Ledger
from tests.app.parents import BeAlone, HaveChildren
from tests.app.partisan_tasks import Note, Sleep, WaitForFile
from tests.processes.conftest import StartManager
from tests.support.harness import HOARDING, SHORT_LIVES, Manager, Stopwatch, is_running, kill
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, done, started, statuses, worker_of


def test_workers_of_a_killed_manager_end_with_all_that_their_tasks_have_started(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager()
    book.begin(*[HaveChildren(str(gate))] * 2)
    children = wait_until(lambda: _noted_pids("child", 4))
    workers = set(_noted_pids("started", 2))
    watch = Stopwatch()
    manager.kill()
    wait_until(lambda: not any(map(is_running, [*workers, *children])))
    book.recovered("kill of a manager to the end of its workers", watch.seconds, within=1)
    assert not done(book.ids)
    assert "finished" not in manager.log, "nobody would record it"
    gate.touch()
    # What its tasks fork is called a worker too, so its workers cannot be counted.
    start_manager(is_waiting=False)
    wait_until(lambda: all_are(book.ids, "finished"))
    for pid in _noted_pids("child", 8):
        kill(pid)


@pytest.mark.parametrize("holds_python", [False, True])
@pytest.mark.parametrize(
    ("is_launcher_killed", "shares_session"), [(False, False), (True, False), (True, True)]
)
def test_no_task_runs_twice_at_once_when_a_killed_manager_is_started_again_at_once(
    start_manager: StartManager,
    book: Book,
    gate: Path,
    tmp_path: Path,
    holds_python: bool,
    is_launcher_killed: bool,
    shares_session: bool,
) -> None:
    manager = start_manager(shares_session=shares_session)
    task = BeAlone(str(tmp_path / "lock"), str(gate), holds_python)
    (pk,) = book.begin(task)
    wait_until(lambda: _noted_pids("holds", 1))
    worker = worker_of(pk)
    if is_launcher_killed:
        kill(manager.launchers()[0].pid)
    manager.kill()
    successor = start_manager()
    wait_until(lambda: _noted_pids("holds", 2), message=lambda: successor.log)
    assert not is_running(worker)
    gate.touch()
    wait_until(lambda: all_are([pk], "finished"))
    assert not _noted_pids("twice at once", 1)


def test_a_restart_on_the_same_node_runs_the_orphans_before_all_other_tasks(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(queue=HOARDING)
    book.run(*[Note()] * 20)
    orphans = set(book.begin(*[WaitForFile(str(gate))] * 40, running=2))
    wait_until(lambda: all_are(orphans, "in_process"))
    manager.kill()
    gate.touch()
    wait_until(lambda: not manager.processes())
    urgent = book.enqueue(*[Note()] * 10, priority=-100)
    before = set(Ledger.objects.values_list("pk", flat=True))

    watch = Stopwatch()
    start_manager(queue={"WORKERS_COUNT": 1})
    wait_until(lambda: Ledger.objects.exclude(pk__in=before).exists())
    book.recovered("start of the command to the first orphan", watch.seconds, within=6)
    wait_until(lambda: all_are(book.ids, "finished"))
    order = list(
        Ledger.objects.exclude(pk__in=before)
        .filter(note="started")
        .order_by("pk")
        .values_list("task_id", flat=True)
    )
    assert set(order[: len(orphans)]) == orphans
    assert set(order[len(orphans) : len(orphans) + len(urgent)]) == set(urgent)
    rescued = Task.objects.exclude(rescues=0)
    assert set(rescued.values_list("pk", flat=True)) == orphans
    assert not ManagerProcess.objects.exclude(
        last_seen__gt=timezone.now() - timedelta(days=180)
    ).exists()


def test_a_manager_killed_again_and_again_loses_nothing(
    start_manager: StartManager, book: Book
) -> None:
    book.faults = 3
    for _ in range(3):
        manager = start_manager()
        book.enqueue(*[Sleep(0.01)] * 80)
        wait_until(_are_more_done(book, 10))
        manager.kill()
    start_manager()
    wait_until(lambda: all_are(book.ids, "finished"))


@pytest.mark.postgresql
def test_a_peer_rescues_what_a_killed_manager_held(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager, ids = _start_north(start_manager, book, gate)
    peer = start_manager(settings={**SHORT_LIVES, "PARTISAN_NODE_NAME": "south"})
    watch = Stopwatch()
    manager.kill()
    gate.touch()
    wait_until(lambda: all_are(ids, "finished"), message=lambda: peer.log)
    book.recovered("kill of a manager to the end of its tasks elsewhere", watch.seconds)
    assert set(Task.objects.values_list("rescues", flat=True)) == {1}
    assert set(Attempt.objects.values_list("outcome", "error_type")) == {("rescued", "ManagerDied")}
    wait_until(lambda: not ManagerProcess.objects.filter(node_name="north").exists())


@pytest.mark.postgresql
@pytest.mark.parametrize("is_launcher_killed", [False, True])
def test_what_a_killed_manager_held_runs_at_once_beside_a_living_one_of_the_same_host(
    start_manager: StartManager, book: Book, gate: Path, tmp_path: Path, is_launcher_killed: bool
) -> None:
    patient = {"PARTISAN_DEAD_AFTER_SECONDS": 3600.0}
    north = start_manager(
        settings={**patient, "PARTISAN_NODE_NAME": "north"}, shares_session=is_launcher_killed
    )
    (pk,) = book.begin(BeAlone(str(tmp_path / "lock"), str(gate), is_launcher_killed))
    wait_until(lambda: _noted_pids("holds", 1))
    south = start_manager(settings={**patient, "PARTISAN_NODE_NAME": "south"})
    if is_launcher_killed:
        kill(north.launchers()[0].pid)
    north.kill()
    watch = Stopwatch()
    wait_until(lambda: _noted_pids("holds", 2), message=lambda: south.log)
    book.recovered("kill of a manager to a task's start beside it", watch.seconds, within=6)
    gate.touch()
    wait_until(lambda: all_are([pk], "finished"))
    assert not _noted_pids("twice at once", 1)
    wait_until(lambda: not ManagerProcess.objects.filter(node_name="north").exists())


@pytest.mark.postgresql
def test_a_paused_manager_fences_itself_and_its_late_outcomes_change_nothing(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    paused, ids = _start_north(start_manager, book, gate)
    first = set(started(ids))
    peer = start_manager(settings={**SHORT_LIVES, "PARTISAN_NODE_NAME": "south"})
    paused.send(signal.SIGSTOP)
    wait_until(lambda: not Task.objects.filter(pk__in=ids, rescues=0).exists())
    gate.touch()
    wait_until(lambda: all_are(ids, "finished"))
    wait_until(lambda: sum(done(first).values()) == 4, message="the paused one's workers ended too")
    recorded = dict(Task.objects.values_list("pk", "updated_at"))
    results = dict(Task.objects.values_list("pk", "result__pid"))
    theirs = {worker.pid for worker in paused.workers()}

    paused.send(signal.SIGCONT)
    wait_until(lambda: "stopping what runs" in paused.log, message=lambda: paused.log)
    wait_until(lambda: paused.log.count("serves queue") == 2, message=lambda: paused.log)
    wait_until(lambda: len(paused.workers()) == 2)
    assert not theirs & {worker.pid for worker in paused.workers()}
    assert not theirs & set(results.values())
    assert peer.stop() == 0
    more = book.enqueue(*[Note()] * 20)
    wait_until(lambda: all_are(more, "finished"), message=lambda: paused.log)
    unchanged = Task.objects.filter(pk__in=ids)
    assert dict(unchanged.values_list("pk", "updated_at")) == recorded
    assert set(unchanged.values_list("lease", "rescues")) == {(3, 1)}


@pytest.mark.sqlite
def test_a_manager_paused_alone_goes_on_where_it_was(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    paused = start_manager(settings=SHORT_LIVES)
    ids = book.begin(*[WaitForFile(str(gate))] * 4, running=2)
    paused.send(signal.SIGSTOP)
    seen = ManagerProcess.objects.get().last_seen
    wait_until(lambda: _age_of(seen) > 6.5)
    gate.touch()
    paused.send(signal.SIGCONT)
    wait_until(lambda: all_are(ids, "finished"), message=lambda: paused.log)
    assert paused.log.count("serves queue") == 2


def _noted_pids(note: str, count: int) -> list[int]:
    """Return the processes that have left such a note, once there are as many."""
    pids = list(Ledger.objects.filter(note=note).values_list("pid", flat=True))
    return pids if len(pids) >= count else []


def _start_north(start_manager: StartManager, book: Book, gate: Path) -> tuple[Manager, list[int]]:
    """Return a manager that has claimed six tasks and runs two of them, and their ids."""
    manager = start_manager(settings={**SHORT_LIVES, "PARTISAN_NODE_NAME": "north"})
    ids = book.begin(*[WaitForFile(str(gate))] * 6, running=2)
    wait_until(lambda: statuses(ids) == {"in_process": 6})
    return manager, ids


def _are_more_done(book: Book, count: int) -> Callable[[], bool]:
    """Return a condition: so many executions more than now have come to their end."""
    goal = len(done(book.ids)) + count
    return lambda: len(done(book.ids)) >= goal


def _age_of(moment: datetime) -> float:
    return (timezone.now() - moment).total_seconds()
