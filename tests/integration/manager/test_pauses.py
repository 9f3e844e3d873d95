"""The duties of pauses: what is known of them, what is given back, and what is freed."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from django_partisan.config.const import NEVER
from django_partisan.control import pause, resume
from django_partisan.lifecycle.pauses import HELD_BATCH
from django_partisan.manager import WorkersManager
from django_partisan.manager.duties.pauses import Pauses
from django_partisan.manager.duties.sweep import Sweep
from django_partisan.models import Pause, Task
from tests.support.duties import claimer_of
from tests.support.factories import enqueue
from tests.support.managing import managing, turn
from tests.support.processors import Plain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def manager() -> Iterator[WorkersManager]:
    with managing() as made:
        yield made


@pytest.fixture
def pauses(manager: WorkersManager) -> Pauses:
    return Pauses(
        manager.heartbeat, manager.queues, manager.pool, manager.hard_limits, manager.round_trip
    )


def look(manager: WorkersManager, duty: Pauses) -> float:
    """Have the duty look, as after a notification; return when that was."""
    manager.queues.listener.may_have_pauses = True
    now = time.monotonic()
    duty.turn(now)
    return now


def test_a_queue_that_goes_on_is_looked_at_at_once(manager: WorkersManager, pauses: Pauses) -> None:
    turn(manager)
    claimer = claimer_of(manager)
    assert claimer.due_at() > time.monotonic(), "it is known to be empty"
    pause(queue_name="default")
    look(manager, pauses)
    assert [each.is_paused for each in manager.queues.claimers] == [True]
    resume(queue_name="default")
    now = look(manager, pauses)
    assert [each.is_paused for each in manager.queues.claimers] == [False]
    assert claimer.due_at() <= now


def test_what_was_claimed_of_a_paused_processor_goes_back(
    manager: WorkersManager, pauses: Pauses
) -> None:
    enqueue(2)
    turn(manager)
    manager.link.finish(time.monotonic())
    assert manager.queue.qsize() == 2
    pause(processor=Plain)
    look(manager, pauses)
    assert manager.queue.qsize() == 0
    assert set(Task.objects.values_list("status", "attempts")) == {("new", 0)}


def test_whoever_knew_of_a_pause_frees_what_a_killed_resume_has_left(
    manager: WorkersManager, pauses: Pauses
) -> None:
    enqueue(2)
    pause(processor=Plain)
    look(manager, pauses)
    manager.heartbeat.has_pauses = False
    Pause.objects.all().delete()
    look(manager, pauses)
    assert manager.heartbeat.has_pauses


def test_a_sweep_goes_on_until_everything_is_freed(manager: WorkersManager) -> None:
    freed: list[str] = []
    sweep = Sweep(manager.heartbeat, manager.standing, lambda name, _: freed.append(name))
    Plain.delay_many([(number,) for number in range(HELD_BATCH + 1)])
    pause(processor=Plain)
    Pause.objects.all().delete()
    manager.heartbeat.has_pauses = True
    now = time.monotonic()
    sweep.turn(now)
    assert Task.objects.exclude(held_by=None).count() == 1
    again_at = sweep.next_deadline()
    assert now < again_at < now + 600, "it takes no more than its share of the time"
    sweep.turn(again_at)
    assert not Task.objects.exclude(held_by=None).exists()
    assert freed == ["default", "default"]
    assert sweep.next_deadline() == NEVER
