"""Real managers and rows of the project that point at tasks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_partisan.models import Attempt, Task
from tests.app.partisan_tasks import AtomicNote, Note
from tests.processes.conftest import StartManager
from tests.support.helpers import wait_until
from tests.support.pointing import installed_apps, pointing_models
from tests.support.rows import PROCESSOR

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def models(transactional_db: None) -> Iterator[Any]:
    """Return the models that point at tasks."""
    with pointing_models() as found:
        yield found


KNOWING: Any = {"INSTALLED_APPS": installed_apps()}
KEYS = ("Protecting", "Restricting", "Unlooked", "Cascading", "Nulling")
KEEPING = KEYS[:3]


@pytest.mark.parametrize("processor", [Note, AtomicNote])
def test_a_task_that_succeeded_stays_finished_whatever_points_at_it(
    models: Any, start_manager: StartManager, processor: Any
) -> None:
    tasks = {}
    for name in KEYS:
        tasks[name] = processor(name).delay()
        getattr(models, name).objects.create(task=tasks[name])
    plain = processor("plain").delay()
    start_manager(queue={"DELETE_TASKS_ON_COMPLETE": True}, settings=KNOWING)
    kept = {(tasks[name].pk, "finished") for name in KEEPING}
    wait_until(lambda: set(Task.objects.values_list("pk", "status")) == kept)
    assert plain.pk not in {pk for pk, _ in kept}
    assert not Attempt.objects.exists()
    assert models.Nulling.objects.get().task is None
    assert not models.Cascading.objects.exists()


def test_the_last_outcome_before_a_stop_is_deleted_as_well(
    models: Any, start_manager: StartManager
) -> None:
    manager = start_manager(queue={"DELETE_TASKS_ON_COMPLETE": True}, settings=KNOWING)
    task = Note("last").delay()
    models.Nulling.objects.create(task=task)
    wait_until(lambda: f"task {task.pk} finished" in manager.log)
    assert manager.stop() == 0
    assert not Task.objects.exists()


def test_protected_tasks_stop_neither_pruning_nor_anything_else(
    models: Any, start_manager: StartManager
) -> None:
    moment = timezone.now() - timedelta(days=1)
    ended = Task.objects.bulk_create(
        Task(status="finished", processor_class=PROCESSOR, finished_at=moment) for _ in range(30)
    )
    for task in ended[:10]:
        models.Protecting.objects.create(task=task)
    manager = start_manager(queue={"KEEP_FINISHED_SECONDS": 0}, settings=KNOWING)
    wait_until(lambda: Task.objects.count() == 10)
    new = Note("new").delay()
    wait_until(lambda: Task.objects.get(pk=new.pk).status == "finished")
    assert manager.stop() == 0
    assert manager.log.count("kept beyond their retention") == 1
