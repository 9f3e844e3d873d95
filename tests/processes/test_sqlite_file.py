"""A manager whose SQLite file is written to by other processes."""

from __future__ import annotations

import sys

import pytest

from django_partisan.lifecycle import request_cancel
from tests.app.partisan_tasks import Note, Sleep
from tests.processes.conftest import StartManager
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are

pytestmark = [
    pytest.mark.sqlite,
    pytest.mark.skipif(sys.platform != "linux", reason="needs inotify"),
]
NO_CLOCKS = {
    "queue": {"SLEEP_DELAY_SECONDS": 3600},
    "settings": {"PARTISAN_HEARTBEAT_SECONDS": 3600, "PARTISAN_DEAD_AFTER_SECONDS": 10_000},
}
"""Nothing but the kernel makes such a manager look for tasks once it is idle."""


def test_a_task_of_another_process_is_picked_up_without_any_clock(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(**NO_CLOCKS)
    for _ in range(20):
        book.run(Note())
    assert "(SQLite, inotify)" in manager.log
    assert "the kernel does not tell" not in manager.log


def test_a_cancel_request_of_another_process_is_noticed(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(**NO_CLOCKS)
    ids = book.begin(Sleep(60), Sleep(60))
    behind = book.enqueue(Note())
    assert request_cancel(ids) == ([], ids)
    wait_until(lambda: all_are(ids, "cancelled"), message=lambda: manager.log)
    wait_until(lambda: all_are(behind, "finished"), message=lambda: manager.log)
