"""Processors that have schedules, and rows of schedules where a test wants them to stand."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F
from django.utils import timezone

from django_partisan import registry
from django_partisan.lifecycle.schedules import LOCKED_SECONDS, fire_schedules
from django_partisan.models import StoredSchedule, Task
from tests.support.processors import Plain, Unique

MINUTES = "* * * * *"


@registry.register
class Scheduled(Plain):
    """May be scheduled by people, any number of times."""

    SCHEDULABLE = True


@registry.register
class ScheduledOnce(Unique):
    """May be scheduled by people, and waits once."""

    SCHEDULABLE = True


@registry.register
class Choosy(Plain):
    """Takes two numbers, and nothing else."""

    SCHEDULABLE = True

    def __init__(self, first: int, second: int = 2, *, at: str | None = None) -> None:
        if first < 0:
            raise ValueError("first must not be negative")


SCHEDULED = f"{Scheduled.__module__}.Scheduled"
ONCE = f"{Scheduled.__module__}.ScheduledOnce"
CHOOSY = f"{Scheduled.__module__}.Choosy"


def make_schedule(key: str = "tick", **columns: Any) -> StoredSchedule:
    """Store a schedule of people's."""
    values = {"processor_class": SCHEDULED, "cron": MINUTES, **columns}
    if values.get("every_seconds") or values.get("is_manual"):
        values["cron"] = ""
    return StoredSchedule.objects.create(key=key, **values)


def late_schedule(minutes: int = 10, **columns: Any) -> StoredSchedule:
    """Store a schedule of each minute that nobody has fired for so many minutes."""
    schedule = make_schedule(**columns)
    move_back(schedule, timedelta(minutes=minutes))
    return schedule


def move_back(schedule: StoredSchedule, by: timedelta) -> None:
    """Move a schedule's place back, as if no manager had run for so long."""
    rows = StoredSchedule.objects.filter(pk=schedule.pk)
    rows.update(next_run_at=F("next_run_at") - by, active_from=F("active_from") - by)
    schedule.refresh_from_db()


def make_due(schedule: StoredSchedule) -> None:
    """Have a schedule's next tick come now; SQLite knows no less than milliseconds."""
    now = timezone.now().replace(microsecond=0)
    StoredSchedule.objects.filter(pk=schedule.pk).update(next_run_at=now)
    schedule.refresh_from_db()


@contextmanager
def duplicate_in_open_transaction() -> Iterator[None]:
    """Let somebody's transaction, which is rolled back after the block, hold ONCE's unique key."""

    def store() -> None:
        connection.set_autocommit(False)
        ScheduledOnce().delay()

    def roll_back() -> None:
        connection.rollback()
        connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(store).result()
        try:
            yield
        finally:
            thread.submit(roll_back).result()


def fire(*schedules: StoredSchedule) -> list[Task]:
    """Fire what is due, read the schedules anew, and return all tasks of schedules in order."""
    for _ in range(10):
        due_in = fire_schedules().due_in
        # Else a slow machine has left some to the next time.
        if due_in is None or due_in > LOCKED_SECONDS:
            break
    for schedule in schedules:
        schedule.refresh_from_db()
    return list(Task.objects.filter(schedule_id__isnull=False).order_by("pk"))


def ticks(tasks: list[Task]) -> list[datetime | None]:
    """Return for which ticks tasks were made."""
    return [task.scheduled_for for task in tasks]
