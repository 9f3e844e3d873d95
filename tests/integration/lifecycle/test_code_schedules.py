"""The schedules of the code in the table: who writes them, and who does not write them back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_partisan.exceptions import ConfigurationError
from django_partisan.lifecycle import code_schedules, managers
from django_partisan.lifecycle.code_schedules import declared_schedules, store_code_schedules
from django_partisan.models import ManagerProcess, StoredSchedule, Task
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import Registry
from django_partisan.registry.registry import registry as real
from django_partisan.schedules import Schedule
from tests.support.schedules import fire, make_schedule, move_back

pytestmark = pytest.mark.django_db
DEAD_AFTER = 30.0
YEARLY, DAILY = "0 0 1 1 *", "0 5 * * *"


class Reporting(BaseTaskProcessor):
    UNIQUE_FOR_PARAMS = False

    def run(self) -> None: ...


Start = Callable[..., bool]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return what a manager does at its start whose code has these schedules."""

    def begin(*schedules: Schedule, manager: int = 1) -> bool:
        known = Registry()
        vars_of = {"__module__": "shop", "__qualname__": "Report", "SCHEDULES": list(schedules)}
        known.register(type("Report", (Reporting,), vars_of))
        monkeypatch.setattr(code_schedules, "registry", known)
        for name in known.names():
            real._by_stored_name[name] = known.get_processor_class_by_name(name)
        ManagerProcess.objects.get_or_create(
            pk=manager, defaults={"node_name": "here", "pid": manager, "version": "2"}
        )
        return store_code_schedules(declared_schedules(), manager, DEAD_AFTER, f"manager {manager}")

    yield begin
    real._by_stored_name.pop("shop.Report", None)


def die(manager: int) -> None:
    ManagerProcess.objects.filter(pk=manager).update(
        last_seen=timezone.now() - timedelta(seconds=DEAD_AFTER + 1)
    )


def row(key: str = "a") -> StoredSchedule:
    return StoredSchedule.objects.get(key=key)


def test_the_code_s_schedules_are_stored_once(start: Start) -> None:
    options: Any = {"args": (1,), "timezone": "Europe/Paris", "catch_up": True, "priority": 3}
    assert start(Schedule(YEARLY, name="a", **options), Schedule(every=timedelta(hours=1)))
    assert start(
        Schedule(YEARLY, name="a", **options), Schedule(every=timedelta(hours=1)), manager=2
    )
    stored, other = row(), row("shop.Report")
    assert (stored.origin, stored.cron, stored.timezone) == ("code", YEARLY, "Europe/Paris")
    assert (stored.args, stored.catch_up, stored.priority) == ([1], "all", 3)
    assert stored.next_run_at > timezone.now()
    assert stored.written_by == "manager 1"
    assert other.every_seconds == 3600
    assert StoredSchedule.objects.count() == 2


def test_a_manager_without_schedules_asks_once_and_writes_nothing(
    start: Start, django_assert_num_queries: Any
) -> None:
    ManagerProcess.objects.create(pk=1, node_name="here", pid=1, version="2")
    with django_assert_num_queries(1):
        assert store_code_schedules({}, 1, DEAD_AFTER, "")


def test_a_new_definition_is_written_and_only_a_new_time_moves_the_schedule(start: Start) -> None:
    start(Schedule(YEARLY, name="a"))
    StoredSchedule.objects.update(next_run_at=timezone.now() + timedelta(days=3), missed=5)
    before = row().next_run_at
    start(Schedule(YEARLY, name="a", args=(2,)))
    assert (row().args, row().next_run_at, row().missed) == ([2], before, 5)
    start(Schedule(DAILY, name="a", args=(2,)))
    assert row().next_run_at < before
    assert row().next_run_at > timezone.now()


def test_a_pause_outlasts_a_deployment(start: Start) -> None:
    start(Schedule(YEARLY, name="a"))
    row().pause(by="ada")
    start(Schedule(DAILY, name="a"), manager=2)
    assert (row().paused_by, row().next_run_at) == ("ada", None)
    row().resume()
    assert row().next_run_at > timezone.now()


def test_an_older_manager_does_not_write_back_while_a_newer_one_lives(start: Start) -> None:
    old, new = Schedule(YEARLY, name="a"), Schedule(DAILY, name="a")
    assert start(old, manager=1)
    assert start(new, manager=2)
    assert row().cron == DAILY
    assert not start(old, manager=3), "restarted in the middle of the deployment: to be tried again"
    assert (row().cron, row().written_by) == (DAILY, "manager 2")
    die(2)
    assert start(old, manager=3), "nobody has the newer code any more: it was rolled back"
    assert row().cron == YEARLY
    assert start(new, manager=4) is False
    die(1)
    die(3)
    assert start(new, manager=4)
    assert row().cron == DAILY


def test_what_the_code_has_no_longer_is_removed_with_the_last_manager_that_has_it(
    start: Start,
) -> None:
    assert start(Schedule(YEARLY, name="a"), Schedule(DAILY, name="b"), manager=1)
    assert not start(Schedule(DAILY, name="b"), manager=2)
    assert row().removed_at is None
    die(1)
    assert start(Schedule(DAILY, name="b"), manager=2)
    assert row().removed_at is not None
    assert (row().next_run_at, row().next_runs()) == (None, [])
    move_back(row("b"), timedelta(days=2))
    [task] = fire()
    assert task.schedule_id == row("b").pk
    assert start(Schedule(YEARLY, name="a"), Schedule(DAILY, name="b"), manager=3)
    assert row().removed_at is None
    assert row().next_run_at > timezone.now()


def test_removal_keeps_the_history(start: Start) -> None:
    start(Schedule(YEARLY, name="a"))
    task = row().run_now()
    start()
    assert row().removed_at is not None
    assert Task.objects.get(pk=task.pk).schedule_id == row().pk
    assert row().last_task_id == task.pk


def test_on_creation_one_task_is_made_and_never_again(start: Start) -> None:
    schedule = Schedule(YEARLY, name="a", run_on_creation=True, scheduled_for_kwarg="at")
    start(schedule)
    start(schedule, manager=2)
    start(Schedule(DAILY, name="a", run_on_creation=True))
    [task] = Task.objects.all()
    assert (task.schedule_id, task.arguments["kwargs"]) == (row().pk, {"at": None})
    start()
    start(schedule, manager=2)
    assert Task.objects.count() == 1


def test_a_schedule_of_people_s_keeps_its_name(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    make_schedule("a")
    with caplog.at_level(logging.ERROR):
        start(Schedule(YEARLY, name="a"))
    assert row().origin == "people"
    assert "the code's schedule 'a' is not stored" in caplog.text
    start()
    assert row().removed_at is None


def test_two_schedules_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Registry()
    for name in ("First", "Second"):
        own = {"__module__": "shop", "__qualname__": name, "SCHEDULES": [Schedule(DAILY, name="x")]}
        known.register(type(name, (Reporting,), own))
    monkeypatch.setattr(code_schedules, "registry", known)
    with pytest.raises(ConfigurationError, match=r"'x': those of shop\.First and shop\.Second"):
        declared_schedules()


def test_a_manager_tells_of_its_code_by_its_row(start: Start) -> None:
    start(Schedule(YEARLY, name="a"), manager=1)
    assert ManagerProcess.objects.get(pk=1).schedules == {"a": row().definition_hash}
    assert managers.live_schedules(2, DEAD_AFTER) == {"a": {row().definition_hash}}
    assert managers.live_schedules(1, DEAD_AFTER) == {}
