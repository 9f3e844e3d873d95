"""Pruning keeps up with whatever ends, and leaves the manager its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from django_partisan.lifecycle.prune import PRUNE_BATCH
from django_partisan.manager import WorkersManager
from django_partisan.manager.duties.pruning import Pruning
from django_partisan.manager.standing import Standing
from django_partisan.models import Task
from django_partisan.settings import QueueSettings
from tests.support.pointing import pointing_models
from tests.support.rows import PROCESSOR, make_task

pytestmark = pytest.mark.django_db(transaction=True)


def make_ended_tasks(count: int) -> None:
    moment = timezone.now() - timedelta(days=1)
    Task.objects.bulk_create(
        Task(status="finished", processor_class=PROCESSOR, finished_at=moment) for _ in range(count)
    )


class SlowStatements:
    """A clock that stands, but for each statement, which takes 10 ms."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.now += 0.01
        return execute(*arguments)


@pytest.fixture
def standing() -> Iterator[Standing]:
    """Return the standing of a registered manager."""
    made = WorkersManager()
    made.heartbeat.register()
    yield made.standing
    made.link.end()
    made.selector.close()


def test_a_full_batch_is_followed_by_the_next_one_after_five_times_what_it_took(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ended_tasks(2 * PRUNE_BATCH + 1)
    settings, clock = QueueSettings(KEEP_FINISHED_SECONDS=0), SlowStatements()
    pruning = Pruning("default", settings, standing)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    counts, waits = [], []
    for _ in range(3):
        started = clock.now
        with connection.execute_wrapper(clock):
            pruning.turn(started)
        counts.append(Task.objects.count())
        waits.append((pruning.next_deadline() - started) / (clock.now - started))
        clock.now = pruning.next_deadline()
    assert counts == [PRUNE_BATCH + 1, 1, 0]
    assert waits[:2] == pytest.approx([5, 5])


def test_the_next_batch_is_due_a_minute_after_one_that_was_not_full(
    standing: Standing,
) -> None:
    make_ended_tasks(3)
    pruning = Pruning("default", QueueSettings(KEEP_FINISHED_SECONDS=0), standing)
    pruning.turn(1000.0)
    assert pruning.next_deadline() == 1060.0
    make_ended_tasks(3)
    pruning.turn(1059.9)
    assert Task.objects.count() == 3
    pruning.turn(1060.0)
    assert Task.objects.count() == 0


@pytest.fixture
def models(transactional_db: None) -> Iterator[Any]:
    """Return the models that point at tasks."""
    with pointing_models() as found:
        yield found


def test_leftovers_of_a_killed_manager_are_tried_once_and_batch_by_batch(
    models: Any, standing: Standing
) -> None:
    kept = [make_task("finished", ended_ago=60) for _ in range(3)]
    for task in kept:
        models.Protecting.objects.create(task=task)
    free = [make_task("finished", ended_ago=50) for _ in range(2)]
    pruning = Pruning("default", QueueSettings(DELETE_TASKS_ON_COMPLETE=True), standing)
    pruning.turn(1000.0)
    assert set(Task.objects.all()) == set(kept)
    assert pruning.next_deadline() < 1060.0, "what retention lets go of comes next"
    models.Protecting.objects.all().delete()
    for _ in range(100):
        pruning.turn(pruning.next_deadline())
    assert set(Task.objects.all()) == set(kept), "nobody tries again"
    assert free


def test_more_leftovers_than_one_batch_takes_are_deleted_one_batch_at_a_time(
    models: Any, standing: Standing
) -> None:
    moment = timezone.now() - timedelta(hours=1)
    Task.objects.bulk_create(
        Task(status="finished", processor_class=PROCESSOR, finished_at=moment)
        for _ in range(PRUNE_BATCH + 1)
    )
    pruning = Pruning("default", QueueSettings(DELETE_TASKS_ON_COMPLETE=True), standing)
    pruning.turn(1000.0)
    assert Task.objects.count() == 1
    pruning.turn(pruning.next_deadline())
    assert not Task.objects.exists()


def test_where_nothing_points_at_tasks_there_are_none_to_look_for(
    standing: Standing, django_assert_num_queries: Any
) -> None:
    make_task("finished", ended_ago=60)
    pruning = Pruning("default", QueueSettings(DELETE_TASKS_ON_COMPLETE=True), standing)
    # What is throttled stays for a while, and what others wait for: these are looked for.
    with django_assert_num_queries(2):
        pruning.turn(1000.0)
    assert Task.objects.exists()
