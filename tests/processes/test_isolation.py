"""Managers of a project whose transactions are serializable by default; their own are not."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from django_partisan.models import Task
from tests.app.partisan_tasks import Note, PostponeTwice, SucceedAtThird
from tests.hostile_app.partisan_tasks import TellOfSession
from tests.processes.conftest import StartManager
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, statuses

pytestmark = pytest.mark.postgresql


def serializable() -> dict[str, Any]:
    """Return the settings of a project in which Django and the role ask for it."""
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    names = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    entry = {name: connection.settings_dict[name] for name in names}
    options = {
        "isolation_level": int(IsolationLevel.SERIALIZABLE),
        "options": "-c default_transaction_isolation=serializable",
    }
    return {"DATABASES": {"default": {**entry, "OPTIONS": options}}}


def test_tasks_have_the_level_of_the_project(start_manager: StartManager, book: Book) -> None:
    start_manager(settings=serializable())
    [task_id] = book.enqueue(TellOfSession())
    wait_until(lambda: all_are([task_id], "finished"))
    assert Task.objects.filter(pk=task_id, result__isolation="serializable").exists()


def test_two_managers_lose_nothing_and_meet_no_conflict(
    start_manager: StartManager, book: Book
) -> None:
    book.enqueue(*[Note()] * 300, *[SucceedAtThird()] * 20, *[PostponeTwice()] * 20)
    queue = {"WORKERS_COUNT": 2, "MIN_QUEUE_SIZE": 5, "MAX_QUEUE_SIZE": 10}
    pair = [start_manager(queue=queue, settings=serializable()) for _ in range(2)]
    book.enqueue(*[Note()] * 300)
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: str(statuses(book.ids)))
    for manager in pair:
        assert manager.stop() == 0
        assert "could not serialize" not in manager.log
        assert "database" not in manager.log.lower()
