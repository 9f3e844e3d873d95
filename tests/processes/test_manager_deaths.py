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
from tests.app.partisan_tasks import Note, Sleep, WaitForFile
from tests.processes.conftest import StartManager
from tests.support.harness import HOARDING, SHORT_LIVES, Manager, Stopwatch, is_running
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, done, started, statuses


def test_workers_of_a_killed_manager_end_after_their_task(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager()
    running = book.begin(*[WaitForFile(str(gate))] * 2)
    book.waiting.update(book.enqueue(*[Note()] * 5))
    manager.kill()
    busy = set(Ledger.objects.values_list("pid", flat=True))
    wait_until(lambda: {process.pid for process in manager.processes()} == busy)
    watch = Stopwatch()
    gate.touch()
    wait_until(lambda: not manager.processes())
    book.recovered("end of a task to the end of its orphaned worker", watch.seconds, within=5)
    assert len(done(running)) == 2
    assert not done(book.waiting), "nothing new begins without a manager"
    start_manager()
    wait_until(lambda: all_are(book.ids, "finished"))


def test_a_worker_does_not_outlive_its_manager_for_ever(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(settings=SHORT_LIVES)
    (endless,) = book.begin(WaitForFile(str(gate)))
    worker = Ledger.objects.get(task_id=endless).pid
    manager.kill()
    wait_until(lambda: not is_running(worker), message=lambda: manager.log)
    gate.touch()
    start_manager()
    wait_until(lambda: all_are(book.ids, "finished"))


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
