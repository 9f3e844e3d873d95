"""Rows 3 and 6 of the faults by the clocks of a real installation: dead after 30 seconds."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from django_partisan.models import Task
from tests.app.partisan_tasks import Note, WaitForFile
from tests.helpers import wait_until
from tests.processes.conftest import StartManager
from tests.processes.harness import Manager, Stopwatch
from tests.processes.ledger import Book, all_are, started

pytestmark = [pytest.mark.postgresql, pytest.mark.long, pytest.mark.timeout(300)]

REAL_CLOCKS = {
    "PARTISAN_HEARTBEAT_SECONDS": 5.0,
    "PARTISAN_DEAD_AFTER_SECONDS": 30.0,
    "PARTISAN_RESCUE_INTERVAL_SECONDS": 10.0,
}


def test_a_peer_runs_what_a_killed_manager_held_within_forty_seconds(
    start_manager: StartManager, book: Book, tmp_path: Path
) -> None:
    north = start_manager(settings=_settings("north"))
    ids, gate = _occupy(book, tmp_path)
    south = start_manager(settings=_settings("south"))
    _wait_for_standing(south)
    north.kill()
    watch = Stopwatch()
    gate.touch()
    wait_until(lambda: all_are(ids, "finished"), seconds=60, message=lambda: south.log)
    book.recovered("kill of a manager to the end of its tasks elsewhere", watch.seconds, within=40)
    assert set(Task.objects.values_list("rescues", flat=True)) == {1}


def test_a_manager_paused_for_a_minute_fences_itself_when_it_wakes(
    start_manager: StartManager, book: Book, tmp_path: Path
) -> None:
    north = start_manager(settings=_settings("north"))
    ids, gate = _occupy(book, tmp_path)
    south = start_manager(settings=_settings("south"))
    _wait_for_standing(south)
    north.send(signal.SIGSTOP)
    watch = Stopwatch()
    gate.touch()
    wait_until(lambda: all_are(ids, "finished"), seconds=60, message=lambda: south.log)
    book.recovered("pause of a manager to the end of its tasks elsewhere", watch.seconds, within=40)
    wait_until(lambda: watch.seconds > 60, seconds=61)
    recorded = dict(Task.objects.values_list("pk", "updated_at"))
    north.send(signal.SIGCONT)
    wait_until(lambda: north.log.count("serves queue") == 2, message=lambda: north.log)
    book.run(*[Note()] * 50)
    unchanged = Task.objects.filter(pk__in=recorded)
    assert dict(unchanged.values_list("pk", "updated_at")) == recorded


def _settings(node_name: str) -> dict[str, Any]:
    return {**REAL_CLOCKS, "PARTISAN_NODE_NAME": node_name}


def _occupy(book: Book, directory: Path) -> tuple[list[int], Path]:
    """Enqueue as many tasks as there are workers, and wait until they run, behind a gate."""
    gate = directory / "gate"
    ids = book.enqueue(*[WaitForFile(str(gate))] * 2)
    wait_until(lambda: len(started(ids)) == 2)
    return ids, gate


def _wait_for_standing(manager: Manager) -> None:
    """Wait until it has beaten for so long that it may judge others."""
    watch = Stopwatch()
    wait_until(lambda: watch.seconds > 31, seconds=32, message=lambda: manager.log)
