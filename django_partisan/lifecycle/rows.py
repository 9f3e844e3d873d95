"""The rows of each table, in the database that the routers name: nobody else asks for its alias."""

from __future__ import annotations

from django.db import router
from django.db.models import QuerySet, Value
from django.db.models.functions import Concat

from django_partisan.models import (
    Attempt,
    Dependency,
    Flow,
    Follower,
    ManagerProcess,
    Output,
    Pause,
    Progress,
    StoredSchedule,
    Task,
    Untold,
)


def database() -> str:
    """Return the alias of the database that holds the tasks, as the routers say."""
    alias: str = router.db_for_write(Task)
    return alias


def task_rows() -> QuerySet[Task]:
    """Return the rows of all tasks."""
    return Task.objects.using(database())


def finished_rows() -> QuerySet[Task]:
    """Return what has finished, to be read by an index that does not name the status.

    The status is compared as no index states it. By the index of all that has ended, a planner that
    knows of nothing finished would read all of that.
    """
    rows = task_rows().alias(outcome=Concat("status", Value("")))
    return rows.filter(finished_at__isnull=False, outcome=Task.STATUS_FINISHED)


def attempt_rows() -> QuerySet[Attempt]:
    """Return the rows of all attempts, in the database of the tasks."""
    return Attempt.objects.using(database())


def output_rows() -> QuerySet[Output]:
    """Return the rows of what tries have printed, in the database of the tasks."""
    return Output.objects.using(database())


def follower_rows() -> QuerySet[Follower]:
    """Return the rows of those who follow tasks, in the database of the tasks."""
    return Follower.objects.using(database())


def manager_rows() -> QuerySet[ManagerProcess]:
    """Return the rows of all managers, in the database of the tasks."""
    return ManagerProcess.objects.using(database())


def schedule_rows() -> QuerySet[StoredSchedule]:
    """Return the rows of all schedules, in the database of the tasks."""
    return StoredSchedule.objects.using(database())


def pause_rows() -> QuerySet[Pause]:
    """Return the rows of all pauses, in the database of the tasks."""
    return Pause.objects.using(database())


def dependency_rows() -> QuerySet[Dependency]:
    """Return the rows of who waits for whom, in the database of the tasks."""
    return Dependency.objects.using(database())


def untold_rows() -> QuerySet[Untold]:
    """Return the rows of ends that are still to be told, in the database of the tasks."""
    return Untold.objects.using(database())


def flow_rows() -> QuerySet[Flow]:
    """Return the rows of all flows, in the database of the tasks."""
    return Flow.objects.using(database())


def progress_rows() -> QuerySet[Progress]:
    """Return the rows of what tasks have told of themselves, in the database of the tasks."""
    return Progress.objects.using(database())
