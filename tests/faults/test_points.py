"""Every labelled point of every process: killed, stopped and cut off there."""

from __future__ import annotations

import os
import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.db import connection
from django.utils import timezone

from django_partisan.models import Task
from tests.app.async_tasks import AsyncNote
from tests.app.long_tasks import GoOnAtomically, TellProgress
from tests.app.models import Ledger
from tests.app.partisan_tasks import ExitOnce, Note, SucceedAtThird, WaitForFile
from tests.app.stopped_tasks import WriteTwice
from tests.faults.points import points
from tests.faults.striker import Strike
from tests.processes.conftest import StartManager
from tests.support.harness import SHORT_LIVES, Manager, Stopwatch, is_running
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, statuses

pytestmark = pytest.mark.django_db(transaction=True)

QUEUE: dict[str, Any] = {
    "WORKERS_COUNT": 2,
    "TASKS_PER_WORKER_INSTANCE": 8,
    "MIN_QUEUE_SIZE": 5,
    "MAX_QUEUE_SIZE": 10,
}
OF_TAKING_OVER = {"manager.took_over", "manager.locked_orphans"}
OF_STOPPING = {"manager.stopping", "manager.deregistered"}
OF_SCHEDULES = {
    *("manager.locked_schedules", "manager.made_tasks_of_schedule", "manager.moved_schedule"),
    *("manager.inserted_schedules", "manager.fired_schedules"),
}
"""What is killed there is tested with schedules."""
OF_SHARING = {
    *("worker.got_several", "worker.took_one_of_several"),
    *("worker.ran_one_of_several", "worker.reported_one_of_several"),
}
"""Where a worker runs several tasks at once."""
QUICK = [
    *[("manager.claimed", "kill"), ("manager.heard", "stop"), ("worker.ran", "kill")],
    ("worker.ran_one_of_several", "kill"),
]
PAUSE_SECONDS = {"manager": 7.0, "launcher": 1.0, "worker": 1.0}
"""Longer than what makes a manager dead, for a manager."""


def _cases() -> list[tuple[str, str]]:
    """Return each point with each action that means something there."""
    actions = ["kill", "stop", "break"] if connection.vendor == "postgresql" else ["kill"]
    return [
        (point, action)
        for point in set(points()) - OF_SCHEDULES
        for action in actions
        if not (action == "break" and point.startswith("launcher"))
    ]


def test_every_process_has_points() -> None:
    assert {point.partition(".")[0] for point in points()} == {"manager", "launcher", "worker"}
    assert len(set(points())) == len(points()) > 20
    assert {point for point, _ in QUICK} | OF_STOPPING | OF_TAKING_OVER <= set(points())
    assert set(points()) >= OF_SCHEDULES | OF_SHARING


@pytest.mark.parametrize(("point", "action"), QUICK)
def test_nothing_is_lost_at_a_point_of_each_process(
    start_manager: StartManager, book: Book, tmp_path: Path, point: str, action: str
) -> None:
    _strike_at(point, action, start_manager, book, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(("point", "action"), sorted(set(_cases()) - set(QUICK)))
def test_nothing_is_lost_at_any_point(
    start_manager: StartManager, book: Book, tmp_path: Path, point: str, action: str
) -> None:
    _strike_at(point, action, start_manager, book, tmp_path)


def _strike_at(
    point: str, action: str, start_manager: StartManager, book: Book, directory: Path
) -> None:
    if point in OF_TAKING_OVER:
        _leave_orphans(start_manager, book, directory)
    strike = Strike(point=point, action=action, directory=str(directory / "strikes"))
    Path(strike.directory).mkdir()
    queue = QUEUE | ({"CONCURRENCY": 5} if point in OF_SHARING else {})
    manager = start_manager(
        is_waiting=False, queue=queue, settings=SHORT_LIVES, environment=strike.variables
    )
    if point in OF_SHARING:
        book.enqueue(*[AsyncNote()] * 20)
    book.enqueue(*[Note()] * 40, *[SucceedAtThird()] * 2, *[WriteTwice(0)] * 3, ExitOnce())
    book.enqueue(TellProgress(3))
    stepping = book.enqueue(*[GoOnAtomically(5)] * 3)
    book.ids.append(Note("dependent").delay(after=Task.objects.filter(pk__in=book.ids[:40])).pk)
    # The last link of its chain, so that nothing is left to wait.
    soon = timezone.now() + timedelta(minutes=5)
    book.ids.append(Note("link").delay(repeat=3600, repeat_until=soon).pk)
    if point in OF_STOPPING:
        wait_until(lambda: all_are(book.ids, "finished"), message=lambda: manager.log)
        manager.send(signal.SIGTERM)
    wait_until(strike.struck, message=lambda: manager.log)
    watch = Stopwatch()
    _see_to(strike, manager, start_manager)
    wait_until(lambda: _have_ended(book), message=lambda: manager.log)
    book.recovered(f"{action} at {point} to the last outcome", watch.seconds, within=20)
    for note in ("first", "second"):
        assert Ledger.objects.filter(note=note).count() == 3, "what is ATOMIC happens exactly once"
    steps = Ledger.objects.filter(task_id__in=stepping, note__startswith="step ")
    assert Counter(steps.values_list("task_id", "note")) == dict.fromkeys(
        [(task_id, f"step {number}") for task_id in stepping for number in range(5)], 1
    ), "each step that commits with its checkpoint happens exactly once"


def _leave_orphans(start_manager: StartManager, book: Book, directory: Path) -> None:
    manager = start_manager()
    ids = book.begin(*[WaitForFile(str(directory / "gate"))] * 5, running=2)
    wait_until(lambda: statuses(ids) == {"in_process": 5})
    manager.kill()
    (directory / "gate").touch()


def _see_to(strike: Strike, manager: Manager, start_manager: StartManager) -> None:
    """Do what an operator would do: start a killed manager again; let a stopped process go on."""
    [(label, pid)] = strike.struck()
    process = label.partition(".")[0]
    if strike.action == "stop":
        _pause(pid, PAUSE_SECONDS[process])
    if process == "manager" and (strike.action == "kill" or label in OF_STOPPING):
        manager.wait_for_exit()
        start_manager(queue=QUEUE)


def _pause(pid: int, seconds: float) -> None:
    wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    watch = Stopwatch()
    wait_until(lambda: watch.seconds > seconds)
    if is_running(pid):
        os.kill(pid, signal.SIGCONT)


def _have_ended(book: Book) -> bool:
    return set(statuses(book.ids)) <= {"finished"}
