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
from tests.support.rows import PROCESSOR

pytestmark = pytest.mark.django_db(transaction=True)


def make_ended_tasks(count: int) -> None:
    moment = timezone.now() - timedelta(days=1)
    Task.objects.bulk_create(
        Task(status="finished", processor_class=PROCESSOR, finished_at=moment) for _ in range(count)
    )


class SlowStatements:
    """A clock of its own, on which each statement takes a second.

    It begins before the manager's last beat, however short ago the machine was started.
    """

    now = 0.0

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.now += 1
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
