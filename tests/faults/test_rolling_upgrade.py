"""A later version's migrations run while managers of this one are at work: row 20."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from django_partisan.models import Task
from tests.app.partisan_tasks import Note
from tests.processes.conftest import StartManager
from tests.support import later_version
from tests.support.harness import Stopwatch
from tests.support.helpers import wait_until
from tests.support.later_version import LaterVersion
from tests.support.ledger import Book, all_are, done

pytestmark = pytest.mark.django_db(transaction=True)

DOWN = "the database cannot be used"
BACK = "the database is back"
STEPS = [later_version.columns, later_version.index, later_version.managers]


@pytest.fixture
def later(book: Book) -> Iterator[LaterVersion]:
    """Yield what migrates; the tables are those of this version again before managers stop."""
    later = LaterVersion()
    yield later
    later.undo()


@contextmanager
def enqueueing(book: Book) -> Iterator[None]:
    """Keep a web process of this version at work meanwhile."""
    is_over, ids = threading.Event(), list[int]()

    def enqueue() -> None:
        try:
            while not is_over.wait(0.005):
                ids.append(Note().delay().pk)
        finally:
            connection.close()

    thread = threading.Thread(target=enqueue)
    thread.start()
    try:
        yield
        assert thread.is_alive(), "no error has ended it"
    finally:
        is_over.set()
        thread.join()
        book.ids += ids


def test_migrations_of_a_later_version_under_load_are_not_noticed(
    start_manager: StartManager, book: Book, later: LaterVersion
) -> None:
    managers = [start_manager() for _ in range(_most_managers())]
    pids = [process.pid for manager in managers for process in manager.processes()]
    book.faults = len(STEPS)
    book.enqueue(*[Note()] * 500)
    with enqueueing(book):
        for step in STEPS:
            _wait_for_more(book)
            watch = Stopwatch()
            later.apply(step())
            _wait_for_more(book)
            book.recovered(f"{step.__name__} under load to the next outcome", watch.seconds)
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: managers[0].log)
    assert [process.pid for manager in managers for process in manager.processes()] == pids
    assert done(book.ids) == dict.fromkeys(book.ids, 1), "each task ran once"
    for manager in managers:
        assert DOWN not in manager.log, "not even a connection was lost"
        assert "Traceback" not in manager.log


def test_managers_start_beside_tables_of_a_later_version(
    start_manager: StartManager, book: Book, later: LaterVersion
) -> None:
    manager = start_manager()
    with enqueueing(book):
        for step in STEPS:
            later.apply(step())
        for _ in range(2):
            _wait_for_more(book)
            assert manager.stop() == 0
            manager = start_manager()
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: manager.log)


def test_a_column_of_another_type_costs_a_connection_and_no_task(
    start_manager: StartManager, book: Book, later: LaterVersion
) -> None:
    manager = start_manager()
    with enqueueing(book):
        _wait_for_more(book)
        watch = Stopwatch()
        later.apply(later_version.wider_name())
        _wait_for_more(book)
        book.recovered("a column of another type to the next outcome", watch.seconds, within=10)
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: manager.log)
    assert done(book.ids) == dict.fromkeys(book.ids, 1), "each task ran once"
    assert manager.log.count(DOWN) == manager.log.count(BACK) <= 1


@pytest.mark.postgresql
def test_a_table_that_is_locked_for_long_is_waited_for(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(settings={"PARTISAN_DEAD_AFTER_SECONDS": 30})
    with enqueueing(book):
        _wait_for_more(book)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE django_partisan_task")
            wait_until(lambda: DOWN in manager.log, message=lambda: manager.log)
            cursor.execute("SELECT pg_sleep(3)")
        watch = Stopwatch()
        _wait_for_more(book)
        book.recovered("end of a long lock to the next outcome", watch.seconds, within=10)
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: manager.log)
    assert done(book.ids) == dict.fromkeys(book.ids, 1), "each task ran once"
    assert manager.log.count(DOWN) == manager.log.count(BACK) == 1


def _wait_for_more(book: Book) -> None:
    goal = Task.objects.filter(status="finished").count() + 50
    wait_until(lambda: Task.objects.filter(status="finished").count() >= goal)


def _most_managers() -> int:
    return 1 if connection.vendor == "sqlite" else 2
