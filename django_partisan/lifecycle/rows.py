"""The rows of each table, in the database that the routers name: nobody else asks for its alias."""

from __future__ import annotations

from django.db import router
from django.db.models import QuerySet

from django_partisan.models import Attempt, ManagerProcess, Pause, StoredSchedule, Task


def database() -> str:
    """Return the alias of the database that holds the tasks, as the routers say."""
    alias: str = router.db_for_write(Task)
    return alias


def task_rows() -> QuerySet[Task]:
    """Return the rows of all tasks."""
    return Task.objects.using(database())


def attempt_rows() -> QuerySet[Attempt]:
    """Return the rows of all attempts, in the database of the tasks."""
    return Attempt.objects.using(database())


def manager_rows() -> QuerySet[ManagerProcess]:
    """Return the rows of all managers, in the database of the tasks."""
    return ManagerProcess.objects.using(database())


def schedule_rows() -> QuerySet[StoredSchedule]:
    """Return the rows of all schedules, in the database of the tasks."""
    return StoredSchedule.objects.using(database())


def pause_rows() -> QuerySet[Pause]:
    """Return the rows of all pauses, in the database of the tasks."""
    return Pause.objects.using(database())
