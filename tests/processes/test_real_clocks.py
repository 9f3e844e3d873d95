"""Rows 3 and 6 of the faults by the clocks of a real installation: dead after 30 seconds."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from django_partisan.models import Task
from tests.app.partisan_tasks import Note, WaitForFile
from tests.processes.conftest import StartManager
from tests.support.harness import Manager, Stopwatch
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are

pytestmark = [pytest.mark.postgresql, pytest.mark.long, pytest.mark.timeout(300)]

REAL_CLOCKS = {
    "PARTISAN_HEARTBEAT_SECONDS": 5.0,
    "PARTISAN_DEAD_AFTER_SECONDS": 30.0,
    "PARTISAN_RESCUE_INTERVAL_SECONDS": 10.0,
}


def test_a_sibling_runs_what_a_killed_manager_held_within_a_heartbeat(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    north, south, ids = _start_pair(start_manager, book, gate)
    north.kill()
    watch = Stopwatch()
    gate.touch()
    wait_until(lambda: all_are(ids, "finished"), message=lambda: south.log)
    book.recovered("kill of a manager to the end of its tasks elsewhere", watch.seconds, within=6)
    assert set(Task.objects.values_list("rescues", flat=True)) == {1}


def test_a_manager_paused_for_a_minute_fences_itself_when_it_wakes(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    north, south, ids = _start_pair(start_manager, book, gate)
    north.send(signal.SIGSTOP)
    watch = Stopwatch()
    gate.touch()
    wait_until(lambda: all_are(ids, "finished"), message=lambda: south.log)
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


def _start_pair(
    start_manager: StartManager, book: Book, gate: Path
) -> tuple[Manager, Manager, list[int]]:
    """Return a manager whose workers run tasks behind a gate, a peer, and the ids of the tasks.

    The peer has beaten for so long that it may judge others.
    """
    north = start_manager(settings=_settings("north"))
    ids = book.begin(*[WaitForFile(str(gate))] * 2)
    south = start_manager(settings=_settings("south"))
    watch = Stopwatch()
    wait_until(lambda: watch.seconds > 31, seconds=32, message=lambda: south.log)
    return north, south, ids
