"""The whole server's disk is full, its write-ahead log included, and it goes down: row 20."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import Error, connection

from tests.app.partisan_tasks import SleepQuietly
from tests.faults.conftest import StartRemote
from tests.faults.own_server import OwnServer
from tests.faults.small_disk import SmallDisk
from tests.support.harness import Stopwatch
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, statuses

pytestmark = pytest.mark.postgresql

DOWN = "the database cannot be used"
BACK = "the database is back"

StartAnew = Callable[[], None]


@pytest.fixture(scope="module")
def disk() -> Iterator[SmallDisk]:
    """Yield the disk that holds all that the server has."""
    disk = SmallDisk(Path(tempfile.mkdtemp(prefix="partisan-disk-")), megabytes=160)
    try:
        yield disk
    finally:
        disk.close()


@pytest.fixture(scope="module")
def own_server(django_db_setup: None, disk: SmallDisk) -> Iterator[OwnServer]:
    """Yield a server on that disk, instead of the one that other tests share."""
    server = OwnServer(disk.directory / "server")
    try:
        yield server
    finally:
        disk.free()
        server.close()


@pytest.fixture
def start_anew(own: OwnServer, disk: SmallDisk, start_remote: StartRemote) -> Iterator[StartAnew]:
    """Yield what makes room and starts the server again; done in the end all the same."""

    def start() -> None:
        disk.free()
        own.restart(immediate=True)

    yield start
    start()


def test_a_server_that_a_full_disk_has_brought_down_is_waited_for(
    own: OwnServer, disk: SmallDisk, start_remote: StartRemote, start_anew: StartAnew, book: Book
) -> None:
    manager = start_remote(settings={"PARTISAN_DEAD_AFTER_SECONDS": 30})
    pids = {process.pid for process in manager.processes()}
    book.enqueue(*[SleepQuietly(0.02)] * 400)
    wait_until(lambda: statuses(book.ids)["finished"] > 50, message=lambda: manager.log)
    disk.fill()
    with contextlib.suppress(Error):
        while True:
            own.query("SELECT pg_logical_emit_message(true, 'test', repeat('x', 1000000))")
    connection.close()
    wait_until(lambda: DOWN in manager.log, message=lambda: manager.log)
    wait_until(lambda: not own.server.is_running, message="no room to recover: it ends")
    start_anew()
    watch = Stopwatch()
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: manager.log)
    book.recovered("start of the server to the last outcome", watch.seconds, within=15)
    assert {process.pid for process in manager.processes()} == pids, "no process has ended"
    assert manager.log.count(DOWN) == manager.log.count(BACK) <= 3
    assert "Traceback" not in manager.log
