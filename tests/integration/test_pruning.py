"""Pruning keeps up with whatever ends, and leaves the manager its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from django_partisan.lifecycle.prune import PRUNE_BATCH
from django_partisan.manager import WorkersManager
from django_partisan.manager.duties.pruning import Pruning
from django_partisan.manager.standing import Standing
from django_partisan.models import Task
from django_partisan.settings import QueueSettings
from tests.rows import PROCESSOR

pytestmark = pytest.mark.django_db(transaction=True)


def make_ended_tasks(count: int) -> None:
    moment = timezone.now() - timedelta(days=1)
    Task.objects.bulk_create(
        Task(status="finished", processor_class=PROCESSOR, finished_at=moment) for _ in range(count)
    )


@pytest.fixture
def standing() -> Iterator[Standing]:
    """Return the standing of a registered manager."""
    made = WorkersManager()
    made.heartbeat.register()
    yield made.standing
    made.link.end()
    made.selector.close()


def test_a_full_batch_is_followed_by_the_next_one_after_five_times_what_it_took(
    standing: Standing,
) -> None:
    make_ended_tasks(2 * PRUNE_BATCH + 1)
    pruning, now = Pruning("default", QueueSettings(KEEP_FINISHED_SECONDS=0), standing), 1000.0
    counts, waits = [], []
    for _ in range(3):
        started = time.monotonic()
        pruning.turn(now)
        spent = time.monotonic() - started
        counts.append(Task.objects.count())
        waits.append((pruning.next_deadline() - now) / spent)
        now = pruning.next_deadline()
    assert counts == [PRUNE_BATCH + 1, 1, 0]
    assert all(2 < times_as_long <= 5 for times_as_long in waits[:2])


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
