"""The duty that fires schedules: when it is due, what it costs, and who it wakes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_partisan.config.const import NEVER
from django_partisan.database.values import SCHEDULE
from django_partisan.manager import WorkersManager
from django_partisan.manager.duties.scheduler import BLOCKED_SECONDS, Scheduler
from django_partisan.models import ManagerProcess, StoredSchedule, Task
from tests.support.factories import locked_by_a_stranger
from tests.support.helpers import wait_until
from tests.support.schedules import (
    ONCE,
    SCHEDULED,
    duplicate_in_open_transaction,
    make_due,
    make_schedule,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def manager() -> Iterator[WorkersManager]:
    """Return a registered manager of a connected link, without workers."""
    made = WorkersManager()
    made.pool.launcher.has_booted = True
    made.pool._is_stopping = True  # no worker is started
    assert made.link.ready(time.monotonic())
    yield made
    made.heartbeat.deregister()
    made.link.end()
    made.selector.close()


@pytest.fixture
def woken() -> list[set[str]]:
    return []


@pytest.fixture
def scheduler(manager: WorkersManager, woken: list[set[str]]) -> Scheduler:
    def wake(queue_names: set[str], _now: float) -> None:
        woken.append(queue_names)

    return Scheduler(manager.heartbeat, manager.standing, wake)


def register(manager: WorkersManager) -> None:
    manager.link.use(time.monotonic(), lambda: manager.standing.turn(time.monotonic()))


def beat(manager: WorkersManager) -> None:
    manager.heartbeat.beat("running", {})


def test_it_does_nothing_before_the_manager_may_act(scheduler: Scheduler) -> None:
    assert scheduler.next_deadline() == NEVER
    with CaptureQueriesContext(connection) as queries:
        scheduler.turn(time.monotonic())
    assert len(queries) == 0


def test_without_schedules_it_has_nothing_to_do_after_its_start(
    manager: WorkersManager, scheduler: Scheduler
) -> None:
    register(manager)
    assert scheduler.next_deadline() == 0.0
    scheduler.turn(time.monotonic())
    assert scheduler.next_deadline() == NEVER
    beat(manager)
    assert scheduler.next_deadline() == NEVER
    with CaptureQueriesContext(connection) as queries:
        scheduler.turn(time.monotonic())
    assert len(queries) == 0


def test_it_waits_for_the_very_moment_of_the_next_tick(
    manager: WorkersManager, scheduler: Scheduler, woken: list[set[str]]
) -> None:
    schedule = make_schedule(every_seconds=3600)
    register(manager)
    scheduler.turn(time.monotonic())
    expected = (schedule.next_run_at - timezone.now()).total_seconds()
    assert scheduler.next_deadline() - time.monotonic() == pytest.approx(expected, abs=1)
    assert woken == []
    make_due(schedule)
    beat(manager)
    assert scheduler.next_deadline() <= time.monotonic()
    scheduler.turn(time.monotonic())
    assert Task.objects.count() == 1
    assert woken == [{"default"}]
    assert scheduler.next_deadline() > time.monotonic() + 1


@pytest.mark.parametrize("columns", [{"cron": "* * * * * *"}, {"next_run_at": None}])
def test_a_beat_tells_of_what_was_changed_or_added(
    manager: WorkersManager, scheduler: Scheduler, columns: dict[str, Any]
) -> None:
    register(manager)
    scheduler.turn(time.monotonic())
    StoredSchedule.objects.bulk_create(
        [StoredSchedule(key="raw", processor_class=SCHEDULED, cron="0 0 1 1 *")]
    )
    beat(manager)
    scheduler.turn(time.monotonic())
    planned = StoredSchedule.objects.get()
    assert planned.next_run_at is not None
    beat(manager)
    assert scheduler.next_deadline() > time.monotonic() + 1
    StoredSchedule.objects.update(**columns)
    beat(manager)
    assert scheduler.next_deadline() <= time.monotonic()
    scheduler.turn(time.monotonic())
    assert StoredSchedule.objects.get().next_run_at is not None


def test_with_a_new_registration_the_code_s_schedules_are_told_of_anew(
    manager: WorkersManager, scheduler: Scheduler
) -> None:
    register(manager)
    scheduler.turn(time.monotonic())
    ManagerProcess.objects.all().delete()
    manager.heartbeat.lose()
    assert scheduler.next_deadline() == NEVER
    register(manager)
    assert scheduler.next_deadline() == 0.0


def test_a_manager_without_schedules_does_not_fire() -> None:
    manager = WorkersManager(serves_schedules=False)
    assert list(manager._scheduler()) == []
    manager.link.end()
    manager.selector.close()


def test_the_manager_that_fires_claims_what_it_has_made(manager: WorkersManager) -> None:
    schedule = make_schedule(every_seconds=3600)
    manager.turn(time.monotonic())
    manager.wait()
    make_due(schedule)
    beat(manager)

    def claimed() -> list[Any]:
        manager.turn(time.monotonic())
        found = manager.queue.take_all()
        if not found:
            manager.wait()
        return found

    [task] = wait_until(claimed)
    assert Task.objects.get(pk=task.id).schedule_id == schedule.pk


def test_a_due_schedule_that_a_peer_has_locked_is_left_to_it(
    manager: WorkersManager, scheduler: Scheduler
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one manager")
    schedule = make_schedule(every_seconds=3600)
    register(manager)
    make_due(schedule)
    with locked_by_a_stranger(schedule.pk, SCHEDULE):
        began = time.monotonic()
        scheduler.turn(began)
        assert not Task.objects.exists()
        assert began < scheduler.next_deadline() < time.monotonic() + 1
    wait_until(lambda: time.monotonic() > scheduler.next_deadline())
    scheduler.turn(time.monotonic())
    assert Task.objects.count() == 1
    assert schedule.next_run_at < StoredSchedule.objects.get().next_run_at + timedelta(hours=1)


@pytest.mark.postgresql
def test_what_an_open_transaction_has_kept_from_firing_is_tried_again_some_seconds_later(
    manager: WorkersManager, scheduler: Scheduler
) -> None:
    schedule = make_schedule(every_seconds=3600, processor_class=ONCE)
    register(manager)
    make_due(schedule)
    now = time.monotonic()
    with duplicate_in_open_transaction():
        scheduler.turn(now)
        assert not Task.objects.exists()
        assert scheduler.next_deadline() == now + BLOCKED_SECONDS
        beat(manager)
        scheduler.turn(now + BLOCKED_SECONDS / 2)
        assert not Task.objects.exists()
    later = now + 2 * BLOCKED_SECONDS
    scheduler.turn(later)
    assert Task.objects.get().schedule_id == schedule.pk
    assert scheduler.next_deadline() > later
