"""A manager whose SQLite file is written to, or replaced, by other processes."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from functools import partial
from pathlib import Path

import pytest
from django.db import connection

from django_partisan.lifecycle import request_cancel
from django_partisan.models import Task
from tests.app.partisan_tasks import Note, Sleep
from tests.processes.conftest import StartManager
from tests.settings import DATABASE_VARIABLE
from tests.support.harness import Manager
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


def test_a_manager_goes_on_with_the_file_that_replaces_its_own(
    database: None, tmp_path: Path
) -> None:
    live, restored = tmp_path / "live.sqlite3", tmp_path / "restored.sqlite3"
    _copy_to(live)
    manager = Manager(tmp_path, environment={DATABASE_VARIABLE: f"sqlite:///{live}"}).start()
    try:
        manager.wait_until_serving()
        for _ in range(2):
            task = Note().delay()
            _copy_to(restored)
            _replace(live, restored)
            is_done = partial(_is_finished, live, task)
            wait_until(is_done, message=lambda: manager.log)
        assert manager.log.count("the database's file was replaced") == 2
        assert manager.log.count("serves queue") == 3, "it registered in each file"
        assert manager.stop() == 0
        manager.assert_nothing_left()
    finally:
        manager.destroy()


def _copy_to(path: Path) -> None:
    connection.ensure_connection()
    with contextlib.closing(sqlite3.connect(path)) as target:
        connection.connection.backup(target)


def _replace(path: Path, other: Path) -> None:
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink()
    other.replace(path)


def _is_finished(path: Path, task: Task) -> bool:
    question = "SELECT status = 'finished' FROM django_partisan_task WHERE id = ?"
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as asking:
        return bool(asking.execute(question, [task.pk]).fetchone()[0])
