"""The database is down when the manager starts, or goes away while it runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from tests.app.partisan_tasks import Sleep
from tests.helpers import command_environment, wait_until
from tests.processes.conftest import StartManager
from tests.processes.harness import Manager, Stopwatch
from tests.processes.ledger import Book, all_are, done
from tests.settings import DATABASE_VARIABLE
from tools.embedded_postgres import EmbeddedPostgres

pytestmark = pytest.mark.postgresql

COUNT = """
import collections, json
from django_partisan.models import ManagerProcess, Task
counts = collections.Counter(Task.objects.values_list("status", flat=True))
print(json.dumps({**counts, "managers": ManagerProcess.objects.count()}))
"""
ENQUEUE = """
from tests.app.partisan_tasks import SleepQuietly
for _ in range(%d):
    SleepQuietly(0.02).delay()
"""
DOWN = "the database cannot be used"
BACK = "the database is back"


class OwnServer:
    """A server for this test alone, and a project on it that is reached by processes only."""

    def __init__(self, directory: Path) -> None:
        self.server = EmbeddedPostgres(directory)
        self.server.start()
        self.server.create_database("partisan")
        self.variables = {DATABASE_VARIABLE: self.server.url("partisan")}
        self._run("-m", "django", "migrate", "-v0")

    def enqueue(self, count: int) -> None:
        self._shell(ENQUEUE % count)

    def counts(self) -> dict[str, int]:
        counted: dict[str, int] = json.loads(self._shell(COUNT))
        return counted

    def _shell(self, code: str) -> str:
        return self._run("-c", f"import django; django.setup()\n{code}")

    def _run(self, *command: str) -> str:
        return subprocess.run(
            [sys.executable, *command],
            env=command_environment(**self.variables),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    own = OwnServer(tmp_path_factory.mktemp("server"))
    with own.server:
        yield own


def test_a_manager_waits_for_a_database_that_is_down_and_survives_its_restarts(
    own: OwnServer, start_manager: StartManager, book: Book
) -> None:
    own.enqueue(20)
    own.server.stop()
    manager = start_manager(is_waiting=False, environment=own.variables)
    wait_until(lambda: manager.log.count(DOWN) == 1, seconds=20, message=lambda: manager.log)
    wait_until(lambda: len(manager.workers()) == 2, message=lambda: manager.log)
    own.server.start()
    manager.wait_until_serving()
    wait_until(lambda: own.counts() == {"finished": 20, "managers": 1})
    assert (manager.log.count(DOWN), manager.log.count(BACK)) == (1, 1)

    pids = {process.pid for process in manager.processes()}
    for is_immediate in (True, False):
        own.enqueue(200)
        wait_until(_has_finished_more(manager), message=lambda: manager.log)
        own.server.restart(immediate=is_immediate)
        watch = Stopwatch()
        wait_until(lambda: "new" not in own.counts() and "in_process" not in own.counts())
        watch.tell("restart of the server to the last outcome")
    assert own.counts() == {"finished": 420, "managers": 1}
    assert {process.pid for process in manager.processes()} == pids, "no process has ended"
    assert manager.log.count(DOWN) == manager.log.count(BACK) <= 3
    assert "Traceback" not in manager.log
    assert manager.stop() == 0
    assert own.counts() == {"finished": 420, "managers": 0}


def test_a_manager_whose_database_stays_away_ends_by_a_signal_all_the_same(
    own: OwnServer, start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(
        environment=own.variables, settings={"PARTISAN_SHUTDOWN_GRACE_SECONDS": 1}
    )
    own.server.stop(immediate=True)
    wait_until(lambda: DOWN in manager.log)
    watch = Stopwatch()
    manager.send(signal.SIGTERM)
    manager.wait_for_exit()
    assert watch.tell("SIGTERM without a database to the exit, grace 1 s") < 6


def test_connections_ended_all_at_once_and_again_cost_nothing(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager()
    for _ in range(6):
        ids = book.enqueue(*[Sleep(0.01)] * 30)
        wait_until(_has_begun(ids))
        _end_the_managers_connection()
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: manager.log)
    assert "Traceback" not in manager.log


def _has_finished_more(manager: Manager) -> Callable[[], bool]:
    before = manager.log.count(" finished [")
    return lambda: manager.log.count(" finished [") > before + 20


def _has_begun(ids: list[int]) -> Callable[[], bool]:
    return lambda: bool(done(ids))


def _end_the_managers_connection() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query ILIKE '%%django_partisan_%%'"
            " AND pid <> pg_backend_pid() AND query NOT ILIKE '%%ledger%%'"
        )
