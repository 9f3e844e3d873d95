"""What DATABASES may hold: health checks, several databases, tasks in another than the first."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from django.db import connection

from django_partisan.models import Attempt, ManagerProcess, Task
from tests.app.aliases import SECOND, EnqueueAnother, LeaveMuchInSecond, TellOfSecond
from tests.app.models import Ledger
from tests.app.partisan_tasks import AtomicNote, Note, SucceedAtThird
from tests.hostile_app.partisan_tasks import TellOfSession
from tests.processes.conftest import StartManager
from tests.support.harness import SETTINGS_VARIABLE
from tests.support.helpers import command_environment, wait_until
from tests.support.helpers import database_entry as entry
from tests.support.ledger import Book, all_are, assert_no_other_was_charged
from tests.support.rows import make_task

ONE_WORKER = {"WORKERS_COUNT": 1}
IN_SECOND = "tests.app.aliases.EverythingInSecond"


def result_of(book: Book, processor: Any) -> Any:
    [task_id] = book.enqueue(processor)
    wait_until(lambda: all_are([task_id], "finished"))
    return Task.objects.get(pk=task_id).result


def end_all_other_sessions() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert cursor.fetchall()


@pytest.mark.postgresql
def test_with_health_checks_a_session_is_kept_while_it_is_good_and_costs_nothing_when_it_ends(
    start_manager: StartManager, book: Book
) -> None:
    databases = {"default": entry(CONN_MAX_AGE=600, CONN_HEALTH_CHECKS=True)}
    manager = start_manager(queue=ONE_WORKER, settings={"DATABASES": databases})
    result_of(book, TellOfSession())  # The first session may end, for one in Django's time zone.
    sessions = {result_of(book, TellOfSession())["session"] for _ in range(3)}
    assert len(sessions) == 1
    end_all_other_sessions()
    book.run(Note(), AtomicNote(), Note())
    assert result_of(book, TellOfSession())["session"] not in sessions
    assert_no_other_was_charged([])
    assert ManagerProcess.objects.count() == 1
    assert manager.log.count("serves queue") == 1


def test_the_session_of_a_second_database_is_tidied_as_well(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(
        queue=ONE_WORKER,
        settings={"DATABASES": {"default": entry(), SECOND: entry()}},
    )
    before = result_of(book, TellOfSecond())
    book.run(LeaveMuchInSecond())
    assert result_of(book, TellOfSecond()) == before
    assert list(Ledger.objects.filter(note__in=["kept", "left open"]).values_list("note")) == [
        ("kept",)
    ]


@pytest.mark.postgresql
def test_sessions_of_both_databases_may_end_between_tasks(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(
        queue=ONE_WORKER,
        settings={"DATABASES": {"default": entry(), SECOND: entry()}},
    )
    book.run(LeaveMuchInSecond(), TellOfSecond())
    end_all_other_sessions()
    book.run(LeaveMuchInSecond(), TellOfSecond())
    assert_no_other_was_charged([])


def test_all_is_done_in_the_database_that_the_router_names(
    start_manager: StartManager, book: Book
) -> None:
    settings = {
        "DATABASES": {"default": {}, SECOND: entry()},
        "DATABASE_ROUTERS": [IN_SECOND],
    }
    manager = start_manager(settings=settings)
    old = make_task("finished", ended_ago=100)
    book.run(Note(), AtomicNote(), SucceedAtThird(), EnqueueAnother())
    enqueued = Task.objects.exclude(pk__in=[*book.ids, old.pk])
    wait_until(lambda: enqueued.filter(status="finished").exists(), message=lambda: manager.log)
    assert Attempt.objects.filter(outcome="retried").count() == 2
    assert manager.stop() == 0
    assert "database" not in manager.log.lower().replace("tests.app", "")
    command = [sys.executable, "-m", "django", "partisan", "prune", "--keep-finished", "50"]
    environment = command_environment(**{SETTINGS_VARIABLE: json.dumps(settings)})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "Deleted 1 task" in done.stdout, done.stderr
    assert not Task.objects.filter(pk=old.pk).exists()
