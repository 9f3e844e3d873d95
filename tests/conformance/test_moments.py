"""Moments are the same for Django and for our SQL, whatever zone the settings have."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from django_partisan.attempt import FAILED
from django_partisan.config.moments import with_zone
from django_partisan.lifecycle.prune import prune
from django_partisan.models import Attempt, ManagerProcess, Task
from django_partisan.settings import QueueSettings
from tests.support.factories import claim, ended_attempt, ids_of, record, row_of
from tests.support.manager_rows import row
from tests.support.processors import Plain
from tests.support.rows import make_task

pytestmark = pytest.mark.django_db

ZONES = ["Asia/Tokyo", "Europe/Berlin", "America/New_York"]
HOUR = timedelta(hours=1)
TWICE = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
"""Both are 02:30 in Berlin."""


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest, settings: Any) -> None:
    """Have a project without time zones."""
    settings.USE_TZ, settings.TIME_ZONE = False, request.param


@pytest.fixture
def berlin(settings: Any) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, "Europe/Berlin"


@pytest.fixture
def database_in_tokyo(db: None, settings: Any) -> Iterator[None]:
    """Have a project with time zones, whose database is in one of its own."""
    settings.USE_TZ = True
    _set_zone_of_database("Asia/Tokyo")
    yield
    _set_zone_of_database(None)


def _set_zone_of_database(name: str | None) -> None:
    wrapper = connections["default"]
    wrapper.settings_dict["TIME_ZONE"] = name
    for cached in ("timezone", "timezone_name"):
        vars(wrapper).pop(cached, None)
    wrapper.ensure_timezone()


def is_now(moment: datetime | None) -> bool:
    """Say whether a moment is now: no time zone is half an hour away."""
    assert moment is not None
    return abs(timezone.now() - moment) < timedelta(minutes=20)


def assert_all_are_now() -> None:
    task = Plain(1).delay()
    [other] = Plain.delay_many([(2,)])
    for new in (task, other):
        assert all(map(is_now, (new.created_at, new.updated_at, new.execute_after)))
    due = claim()
    assert ids_of(due) == ids_of([task, other])
    record(ended_attempt(due[0]), ended_attempt(due[1], FAILED))
    for ended in map(row_of, due):
        moments = ended.created_at, ended.updated_at, ended.execute_after, ended.claimed_at
        assert all(map(is_now, (*moments, ended.started_at, ended.finished_at)))
    assert is_now(Attempt.objects.get().created_at)
    manager = row()
    assert is_now(manager.last_seen)
    assert is_now(ManagerProcess.objects.get(pk=manager.pk).started_at)


def test_all_moments_of_a_task_are_read_as_now(zone: None) -> None:
    assert_all_are_now()


def test_they_are_where_the_database_has_a_zone_of_its_own(database_in_tokyo: None) -> None:
    assert_all_are_now()


def test_a_task_is_due_at_the_moment_that_the_project_gives(zone: None) -> None:
    due = Plain(1).delay(execute_after=timezone.now() - HOUR)
    [also_due] = Plain.delay_many([(2,)], execute_after=timezone.now() - HOUR)
    Plain(3).delay(execute_after=timezone.now() + HOUR)
    Plain.delay_many([(4,)], execute_after=timezone.now() + HOUR)
    Plain(5).delay(execute_after=HOUR)
    assert sorted(ids_of(claim())) == [due.pk, also_due.pk]


def test_what_the_project_writes_is_compared_with_now(zone: None) -> None:
    make_task("finished", ended_ago=1000)
    kept = make_task("finished", ended_ago=10)
    prune("default", QueueSettings(KEEP_FINISHED_SECONDS=500))
    assert list(Task.objects.all()) == [kept]


def test_queries_find_what_lies_before_a_moment(zone: None) -> None:
    past, future = Plain(1).delay(execute_after=-60), Plain(2).delay(execute_after=60)
    assert Task.objects.get(execute_after__lt=timezone.now()) == past
    assert Task.objects.get(execute_after__range=(timezone.now(), timezone.now() + HOUR)) == future
    assert set(Task.objects.filter(finished_at=None)) == {past, future}


def test_a_row_that_is_read_and_saved_keeps_its_moments(zone: None) -> None:
    task = row_of(Plain(1).delay(execute_after=HOUR))
    due, created = task.execute_after, task.created_at
    task.save()
    assert (row_of(task).execute_after, row_of(task).created_at) == (due, created)


def test_of_an_hour_that_comes_twice_each_moment_is_told_apart(berlin: None) -> None:
    first, second = (Plain(str(moment)).delay(execute_after=moment) for moment in TWICE)
    assert first.execute_after == second.execute_after, "read without a zone, both are 02:30"
    ordered = Task.objects.order_by("execute_after")
    assert list(ordered) == [first, second]
    assert Task.objects.get(execute_after__lt=TWICE[1]) == first
    assert Task.objects.get(execute_after__gte=TWICE[1]) == second


@pytest.mark.sqlite
def test_a_naive_moment_of_such_an_hour_says_by_its_fold_which_one_it_is(berlin: None) -> None:
    for moment in TWICE:
        task = row_of(Plain(str(moment)).delay(execute_after=moment))
        task.save()
        # Python holds no moment of such an hour for equal to one of another zone.
        assert with_zone(row_of(task).execute_after).astimezone(UTC) == moment


def test_a_project_may_change_its_zone_and_use_tz(settings: Any) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Tokyo"
    task = Plain().delay(execute_after=datetime(2031, 2, 3, 12))
    settings.TIME_ZONE = "America/New_York"
    assert row_of(task).execute_after == datetime(2031, 2, 2, 22)
    settings.USE_TZ = True
    assert row_of(task).execute_after == datetime(2031, 2, 3, 3, tzinfo=UTC)
