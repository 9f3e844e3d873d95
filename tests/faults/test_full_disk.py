"""The disk under the tables of the tasks is full: row 20."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.db.models import Q
from django.db.models.functions import Now

from django_partisan.models import Attempt, Task
from tests.app.partisan_tasks import Fail, Note, ReturnPadded
from tests.faults.conftest import StartRemote
from tests.faults.own_server import OwnServer
from tests.faults.small_disk import SmallDisk
from tests.support.harness import Manager, Stopwatch
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, done, statuses

pytestmark = pytest.mark.postgresql

DOWN = "the database cannot be used"
PADDING = "x" * 2000
RELATIONS = """SELECT CASE relkind WHEN 'r' THEN 'TABLE' ELSE 'INDEX' END, oid::regclass::text
  FROM pg_class WHERE relname ~ '(django_)?partisan_' AND relkind IN ('r', 'i')"""


@pytest.fixture
def disk(own: OwnServer) -> Iterator[SmallDisk]:
    """Yield the small disk on which the tables of the tasks are meanwhile."""
    disk = SmallDisk(own.server.socket_directory / "small", megabytes=16)
    try:
        place = disk.directory / "tables"
        place.mkdir()
        own.server.give(place)
        own.query(f"CREATE TABLESPACE small LOCATION '{place}'")
        own.query("GRANT CREATE ON TABLESPACE small TO manager")
        _move_tables(own, "small")
        yield disk
        disk.free()
        _move_tables(own, "pg_default")
        own.query("DROP TABLESPACE small")
    finally:
        disk.close()


@pytest.fixture
def manager(disk: SmallDisk, start_remote: StartRemote) -> Iterator[Manager]:
    """Yield a manager whose disk has room again before it is stopped, whatever has happened."""
    # The fence must not close before the longest pause between two tries is over.
    yield start_remote(settings={"PARTISAN_DEAD_AFTER_SECONDS": 30})
    disk.free()


def test_a_full_disk_is_waited_for_and_changes_no_outcome(
    own: OwnServer, disk: SmallDisk, manager: Manager, book: Book
) -> None:
    pids = {process.pid for process in manager.processes()}
    failing = book.enqueue(*[Fail("as it should")] * 10)
    good = book.enqueue(*[ReturnPadded(4000)] * 300)
    wait_until(lambda: statuses(good)["finished"] > 30, message=lambda: manager.log)
    failing += book.enqueue(*[Fail("as it should")] * 10, priority=0)
    late = book.enqueue(*[Note("due while the disk is full")] * 10, execute_after=8)
    disk.fill()
    good += _enqueue_until_refused(book)
    wait_until(lambda: DOWN in manager.log, message=lambda: manager.log)

    watch, cpu_seconds = Stopwatch(), _cpu_seconds(manager)
    wait_until(lambda: watch.seconds > 4 and _are_due(late))
    assert _cpu_seconds(manager) - cpu_seconds < 1, "it does not spin"
    assert manager.log.count("No space left") <= 5, "nor is each try worth a line"
    assert all_are(late, "new"), "nor does it claim what it could not record"
    assert not Task.objects.filter(pk__in=good, status="error").exists()

    good += late
    disk.free()
    watch = Stopwatch()
    wait_until(_have_ended(good, failing), message=lambda: manager.log)
    book.recovered("room on the disk to the last outcome", watch.seconds, within=15)
    assert {process.pid for process in manager.processes()} == pids, "no process has ended"
    assert done(good) == dict.fromkeys(good, 1), "each task ran once"
    assert sorted(Attempt.objects.values_list("task_id", flat=True)) == sorted(failing)
    assert manager.log.count("Traceback") == len(failing), "none but those of the tasks"


def _enqueue_until_refused(book: Book) -> list[int]:
    """Enqueue one by one, at once and together, until none of it is stored; return the ids."""
    former = len(book.ids)
    with pytest.raises(OperationalError, match="No space left"):
        _enqueue_for_ever(book)
    with pytest.raises(OperationalError, match="No space left"):
        book.enqueue(*[Note(PADDING)] * 100)
    with pytest.raises(OperationalError, match="No space left"):
        Note.delay_many([Note(PADDING)] * 100)
    assert Task.objects.count() == len(book.ids), "nothing is half stored"
    return book.ids[former:]


def _enqueue_for_ever(book: Book) -> None:
    while True:
        book.enqueue(Note(PADDING))


def _are_due(ids: list[int]) -> bool:
    """Say whether the manager has had a second to claim these tasks."""
    due = Q(execute_after__lt=Now() - timedelta(seconds=1))
    return Task.objects.filter(due, pk__in=ids).count() == len(ids)


def _have_ended(good: list[int], failing: list[int]) -> Callable[[], bool]:
    return lambda: all_are(good, "finished") and all_are(failing, "error")


def _cpu_seconds(manager: Manager) -> float:
    times = manager.process.cpu_times()
    return float(times.user + times.system)


def _move_tables(own: OwnServer, tablespace: str) -> None:
    for kind, name in own.query(RELATIONS):
        own.query(f"ALTER {kind} {name} SET TABLESPACE {tablespace}")
