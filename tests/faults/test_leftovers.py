"""A manager that is killed between outcome and deletion leaves nothing behind for good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from django_partisan.models import Task
from tests.app.partisan_tasks import Note
from tests.faults.striker import Strike
from tests.processes.conftest import StartManager
from tests.support.harness import SHORT_LIVES
from tests.support.helpers import wait_until
from tests.support.ledger import Book
from tests.support.pointing import installed_apps, pointing_models
from tests.support.rows import make_task

QUEUE = {"WORKERS_COUNT": 1, "DELETE_TASKS_ON_COMPLETE": True}
KNOWING: Any = {**SHORT_LIVES, "INSTALLED_APPS": installed_apps()}
DAY = 86_400


@pytest.fixture
def models(transactional_db: None) -> Iterator[Any]:
    """Return the models that point at tasks."""
    with pointing_models() as found:
        yield found


def test_the_next_manager_deletes_what_a_killed_one_was_about_to(
    models: Any, start_manager: StartManager, book: Book, tmp_path: Path
) -> None:
    strike = Strike(point="manager.recorded", action="kill", directory=str(tmp_path / "strikes"))
    Path(strike.directory).mkdir()
    book.is_deleting = True
    [left] = book.enqueue(Note())
    models.Nulling.objects.create(task_id=left)
    killed = start_manager(
        is_waiting=False, queue=QUEUE, settings=KNOWING, environment=strike.variables
    )
    wait_until(strike.struck, message=lambda: killed.log)
    killed.wait_for_exit()
    assert Task.objects.get(pk=left).status == "finished"

    kept = make_task("finished", ended_ago=60)
    models.Protecting.objects.create(task=kept)
    old, failed = make_task("finished", ended_ago=2 * DAY), make_task("error", ended_ago=60)
    start_manager(queue=QUEUE, settings=KNOWING)
    wait_until(lambda: not Task.objects.filter(pk=left).exists())
    assert models.Nulling.objects.get().task is None
    book.enqueue(Note())
    wait_until(lambda: Task.objects.count() == 3)
    assert set(Task.objects.all()) == {kept, old, failed}
    models.Protecting.objects.all().delete()
    Task.objects.all().delete()
