"""Firing on each database: rivals make one task for a tick, and what is not due costs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_partisan.database import dialect_for
from django_partisan.database.values import SCHEDULE, Beat
from django_partisan.lifecycle.schedules import fire_schedules
from django_partisan.models import StoredSchedule, Task
from tests.conformance.plans import analyze
from tests.support.factories import at_once, locked_by_a_stranger
from tests.support.schedules import (
    ONCE,
    SCHEDULED,
    duplicate_in_open_transaction,
    fire,
    make_due,
    make_schedule,
)

pytestmark = pytest.mark.django_db(transaction=True)
DUE, UNPLANNED = "partisan_schedule_due", "partisan_schedule_unplanned"


def insert_many(count: int) -> None:
    """Insert schedules that are planned and not due."""
    later = timezone.now() + timedelta(days=3)
    common: dict[str, Any] = {
        "processor_class": SCHEDULED,
        "cron": "0 0 1 1 *",
        "planned_cron": "0 0 1 1 *",
        "timezone": "UTC",
        "planned_timezone": "UTC",
        "active_from": timezone.now(),
    }
    StoredSchedule.objects.bulk_create(
        [
            StoredSchedule(key=f"schedule {n}", next_run_at=later + timedelta(seconds=n), **common)
            for n in range(count)
        ],
        batch_size=500,
    )


@pytest.mark.postgresql
def test_of_several_rivals_one_makes_the_task_of_a_tick() -> None:
    schedules = [make_schedule(f"{number}", every_seconds=86400) for number in range(10)]
    for _ in range(5):
        for schedule in schedules:
            make_due(schedule)
        before = Task.objects.count()
        at_once(*[_fire_all] * 4)
        assert Task.objects.count() == before + 10


@pytest.mark.postgresql
def test_what_somebody_has_locked_is_left_out_and_the_others_fire() -> None:
    first, second = make_schedule("first"), make_schedule("second", processor_class=ONCE)
    make_due(first)
    make_due(second)
    with locked_by_a_stranger(first.pk, SCHEDULE):
        [task] = fire()
        assert task.schedule_id == second.pk
    assert len(fire()) == 2


@pytest.mark.postgresql
def test_a_duplicate_in_an_open_transaction_blocks_its_schedule_alone() -> None:
    blocked = make_schedule("blocked", processor_class=ONCE)
    other = make_schedule("other", every_seconds=86400)  # Not due again by the next minute.
    make_due(blocked)
    make_due(other)
    with duplicate_in_open_transaction():
        fired = fire_schedules()
        assert fired.blocked == {blocked.pk}
        again = fire_schedules(fired.blocked)
        assert not again.blocked
        assert again.due_in is None or again.due_in > 1
        [task] = Task.objects.all()
        assert task.schedule_id == other.pk
    fire()
    assert Task.objects.filter(schedule_id=blocked.pk).count() == 1


@pytest.mark.postgresql
@pytest.mark.parametrize("with_statistics", [True, False])
def test_what_is_due_is_found_by_its_indexes(with_statistics: bool) -> None:
    dialect_for().prepare_session(connection, is_own=True)
    insert_many(2000)
    if with_statistics:
        analyze()
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {SCHEDULE}")
    for sql in _selects(fire_schedules):
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
        assert DUE in plan or UNPLANNED in plan, f"{sql}\n{plan}"
        assert "Seq Scan" not in plan, f"{sql}\n{plan}"
    connection.close()


@pytest.mark.sqlite
def test_what_is_due_is_found_by_its_indexes_on_sqlite() -> None:
    insert_many(500)
    for sql in _selects(fire_schedules):
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plan = "\n".join(row[3] for row in cursor.fetchall())
        assert DUE in plan or UNPLANNED in plan, f"{sql}\n{plan}"


@pytest.mark.sqlite
def test_a_beat_looks_at_schedules_by_their_indexes_on_sqlite() -> None:
    insert_many(500)
    beat = Beat(1, "running", "{}", 30.0, ())
    seen: list[str] = []

    def note(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        seen.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        dialect_for().beat(connection, beat)
    [sql] = [each for each in seen if SCHEDULE in each]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        plan = "\n".join(row[3] for row in cursor.fetchall())
    assert DUE in plan
    assert UNPLANNED in plan


def test_a_beat_tells_when_the_next_tick_comes() -> None:
    beat = Beat(1, "running", "{}", 30.0, ())
    assert dialect_for().beat(connection, beat).schedule_due_in is None
    schedule = make_schedule(every_seconds=3600)
    due_in = dialect_for().beat(connection, beat).schedule_due_in
    assert due_in == pytest.approx((schedule.next_run_at - timezone.now()).total_seconds(), abs=2)
    StoredSchedule.objects.update(cron="* * * * *", every_seconds=0)
    assert dialect_for().beat(connection, beat).schedule_due_in == 0, "it was changed by hand"
    schedule.refresh_from_db()
    schedule.pause()
    schedule.resume()
    schedule.pause()
    assert dialect_for().beat(connection, beat).schedule_due_in is None


def test_a_moment_is_read_and_written_to_the_millisecond() -> None:
    now = dialect_for().now(connection)
    assert abs((now - timezone.now()).total_seconds()) < 5
    schedule = make_schedule()
    StoredSchedule.objects.update(next_run_at=now)
    [task] = fire(schedule)
    assert task.scheduled_for is not None
    assert abs((task.scheduled_for - now).total_seconds()) < 0.001


@pytest.mark.long
def test_ten_thousand_schedules_that_are_not_due_cost_a_turn_little() -> None:
    dialect_for().prepare_session(connection, is_own=True)
    insert_many(10_000)
    beat = Beat(1, "running", "{}", 30.0, ())

    def turn() -> float:
        begun = time.perf_counter()
        fire_schedules()
        dialect_for().beat(connection, beat)
        return time.perf_counter() - begun

    took = sorted(turn() for _ in range(21))[10]
    print(f"a look at 10,000 schedules and a beat: {took * 1000:.1f} ms")
    connection.close()
    assert took < 0.025


def _fire_all() -> None:
    """Fire until nothing is due: each transaction fires as many as it has time for."""
    while StoredSchedule.objects.filter(next_run_at__lte=timezone.now()).exists():
        fire_schedules()


def _selects(action: Callable[[], object]) -> list[str]:
    """Return the statements that look for schedules, with their values in them."""
    with CaptureQueriesContext(connection) as queries:
        action()
    found = [each["sql"] for each in queries if each["sql"].startswith("SELECT")]
    assert len(found) == 3
    return found
