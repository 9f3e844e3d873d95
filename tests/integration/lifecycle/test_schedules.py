"""Firing what is due: one task for each tick, by the policy, and what people do to a schedule."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from django_partisan import lifecycle
from django_partisan.exceptions import ProcessorClassNotFound
from django_partisan.models import StoredSchedule, Task
from django_partisan.registry.registry import registry
from tests.support.schedules import (
    CHOOSY,
    ONCE,
    SCHEDULED,
    fire,
    late_schedule,
    make_due,
    make_schedule,
    move_back,
    ticks,
)

pytestmark = pytest.mark.django_db


def change(schedule: StoredSchedule, **columns: Any) -> None:
    """Change a row past its model."""
    StoredSchedule.objects.filter(pk=schedule.pk).update(**columns)


def test_a_tick_makes_one_task_and_moves_the_schedule_on() -> None:
    schedule = make_schedule(args=[1], kwargs={"b": 2}, priority=3, queue_name="other")
    make_due(schedule)
    tick = schedule.next_run_at
    [task] = fire(schedule)
    assert (task.schedule_id, task.scheduled_for) == (schedule.pk, tick)
    assert (task.queue_name, task.priority) == ("other", 3)
    assert task.arguments == {"args": [1], "kwargs": {"b": 2}}
    assert schedule.last_task_id == task.pk
    assert schedule.next_run_at > timezone.now()
    assert fire(schedule) == [task], "it is due no more"


def test_what_is_not_due_is_left_alone() -> None:
    schedule = make_schedule(cron="0 0 1 1 *")
    assert fire(schedule) == []
    assert lifecycle.fire_schedules().due_in == pytest.approx(
        (schedule.next_run_at - timezone.now()).total_seconds(), abs=5
    )


@pytest.mark.parametrize(
    ("catch_up", "fired"), [("none", 0), (False, 0), ("latest", 1), ("all", 10), (True, 10)]
)
def test_what_was_missed_in_an_outage_is_made_up_for_by_the_policy(
    catch_up: Any, fired: int
) -> None:
    schedule = late_schedule(10, catch_up=catch_up)
    first = schedule.next_run_at
    tasks = fire(schedule)
    expected = [first + timedelta(minutes=n) for n in range(10)][10 - fired :]
    assert ticks(tasks) == expected, "in their order"
    assert schedule.missed == 10 - fired
    assert fire(schedule) == tasks


def test_the_last_ones_of_a_long_outage_are_fired_and_the_rest_is_counted_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    schedule = late_schedule(300, catch_up="all", max_catch_up=7)
    with caplog.at_level(logging.WARNING):
        assert len(fire(schedule)) == 7
        fire(schedule)
    assert schedule.missed == 293
    assert [r.getMessage() for r in caplog.records] == [
        "schedule 'tick' has missed 293 ticks (catch_up='all')"
    ]


def test_a_number_that_cannot_be_is_taken_for_the_next_that_can() -> None:
    schedule = late_schedule(5, catch_up="all")
    change(schedule, max_catch_up=-3)
    assert len(fire(schedule)) == 1
    assert schedule.missed == 4


def test_a_tick_that_is_a_little_late_is_on_time() -> None:
    schedule = make_schedule(cron="0 0 1 1 *", catch_up="none")
    change(schedule, next_run_at=timezone.now() - timedelta(seconds=20))
    assert len(fire(schedule)) == 1
    change(schedule, next_run_at=timezone.now() - timedelta(seconds=80))
    assert len(fire(schedule)) == 1
    assert schedule.missed == 1


def test_the_moment_of_the_tick_is_an_argument_in_the_zone_of_the_schedule() -> None:
    schedule = late_schedule(
        3, catch_up="all", scheduled_for_kwarg="at", timezone="Asia/Tokyo", processor_class=ONCE
    )
    first = schedule.next_run_at
    moments = [task.arguments["kwargs"]["at"] for task in fire(schedule)]
    assert [datetime.fromisoformat(moment) for moment in moments] == [
        first + timedelta(minutes=n) for n in range(3)
    ]
    assert all(moment.endswith("+09:00") for moment in moments)
    assert schedule.run_now().arguments["kwargs"] == {"at": None}


def test_a_tick_whose_task_still_waits_is_counted_as_skipped() -> None:
    schedule = make_schedule(processor_class=ONCE)
    tasks = []
    for _ in range(3):
        make_due(schedule)
        tasks = fire(schedule)
    assert len(tasks) == 1
    assert (schedule.skipped, schedule.missed) == (2, 0)
    assert schedule.last_task_id == tasks[0].pk


def test_where_all_ticks_count_each_gets_a_task_of_its_own() -> None:
    schedule = late_schedule(4, processor_class=ONCE, catch_up="all")
    assert len(fire(schedule)) == 4
    assert schedule.skipped == 0


def test_retimed_it_goes_on_with_the_new_time_from_now_on(settings: Any) -> None:
    now = timezone.now().astimezone(UTC)
    passed, coming = now - timedelta(hours=2), now + timedelta(hours=2)
    schedule = make_schedule(cron=f"0 {coming.hour} * * *")
    schedule.cron = f"0 {passed.hour} * * *"
    schedule.save()
    assert schedule.next_run_at > now, "tomorrow, not two hours ago"
    assert schedule.next_run_at - now > timedelta(hours=20)
    assert fire(schedule) == []


def test_other_changes_do_not_move_it() -> None:
    schedule = make_schedule(cron="30 8 * * *")
    change(schedule, next_run_at=schedule.next_run_at + timedelta(seconds=1))
    schedule.refresh_from_db()
    before = schedule.next_run_at
    schedule.args = [5]
    schedule.save()
    schedule.refresh_from_db()
    assert (schedule.next_run_at, schedule.args) == (before, [5])


def test_what_a_manager_has_moved_in_the_meantime_is_not_moved_back() -> None:
    schedule = make_schedule()
    make_due(schedule)
    edited = StoredSchedule.objects.get(pk=schedule.pk)
    fire()
    edited.args = [1]
    edited.save()
    assert len(fire(edited)) == 1
    assert edited.args == [1]
    assert edited.last_task_id is not None


@pytest.mark.parametrize(
    "columns",
    [{"cron": "0 0 1 1 *"}, {"cron": "", "every_seconds": 86400 * 365}, {"timezone": "Asia/Tokyo"}],
)
def test_a_change_past_the_model_is_noticed(columns: dict[str, Any]) -> None:
    schedule = make_schedule(cron="0 0 2 1 *", timezone="Europe/Paris")
    before = schedule.next_run_at
    make_due(schedule)
    change(schedule, **columns)
    assert fire(schedule) == [], "the tick of the old time is dropped"
    assert schedule.next_run_at not in (None, before)
    assert schedule.planned_by == schedule.planned


def test_a_place_that_somebody_sets_is_taken() -> None:
    schedule = make_schedule(cron="0 0 1 1 *")
    schedule.next_run_at = timezone.now()
    schedule.save()
    assert len(fire(schedule)) == 1
    change(schedule, next_run_at=timezone.now())
    assert len(fire(schedule)) == 2
    change(schedule, next_run_at=timezone.now(), active_from=timezone.now() + timedelta(days=1))
    assert len(fire(schedule)) == 2, "no tick before active_from"


def test_rows_that_were_inserted_past_the_model_are_planned_or_fired() -> None:
    now = timezone.now()
    plain = {"processor_class": SCHEDULED, "cron": "0 0 1 1 *"}
    StoredSchedule.objects.bulk_create(
        [StoredSchedule(key="a", **plain), StoredSchedule(key="b", next_run_at=now, **plain)]
    )
    fire()
    [task] = fire()
    first, second = StoredSchedule.objects.order_by("key")
    assert first.next_run_at == second.next_run_at
    assert task.schedule_id == second.pk


def test_nothing_is_fired_of_a_pause() -> None:
    schedule = make_schedule()
    schedule.pause(reason="holidays", by="ada")
    assert (schedule.paused_by, schedule.pause_reason, schedule.next_run_at) == (
        "ada",
        "holidays",
        None,
    )
    move_back(schedule, timedelta(minutes=3))
    assert fire(schedule) == []
    assert schedule.next_runs() == []
    schedule.resume()
    assert fire(schedule) == [], "nor made up for"
    assert schedule.paused_at is None
    assert schedule.next_run_at > timezone.now()


def test_a_pause_may_end_by_itself() -> None:
    schedule = make_schedule(catch_up="all")
    schedule.pause(timedelta(minutes=30))
    assert schedule.paused_until is not None
    assert schedule.next_run_at >= schedule.paused_until
    assert schedule.next_run_at - schedule.paused_until < timedelta(minutes=1)
    assert schedule.next_runs(1) == [schedule.next_run_at]
    move_back(schedule, timedelta(minutes=33))
    change(schedule, paused_until=schedule.paused_until - timedelta(minutes=33))
    tasks = fire(schedule)
    assert 2 <= len(tasks) <= 3, "those after the pause alone"
    assert not schedule.is_paused


def test_a_tick_at_the_end_of_a_pause_is_no_longer_in_it() -> None:
    schedule = make_schedule(cron="0 0 1 1 *")
    tick = schedule.next_run_at
    schedule.pause(tick)
    assert schedule.next_run_at == tick


@pytest.mark.parametrize("until", [datetime(2001, 1, 1, tzinfo=UTC), timedelta(0), "tomorrow"])
def test_a_pause_ends_at_a_moment_to_come(until: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="until"):
        make_schedule().pause(until)


def test_a_pause_and_its_end_past_the_model_are_noticed() -> None:
    schedule = make_schedule()
    make_due(schedule)
    change(schedule, paused_at=timezone.now())
    assert fire(schedule) == []
    assert schedule.next_run_at is None
    change(schedule, paused_at=None)
    fire(schedule)
    assert StoredSchedule.objects.get().next_run_at > timezone.now()


def test_run_now_works_in_a_pause_and_leaves_the_plan() -> None:
    schedule = make_schedule(cron="0 0 1 1 *")
    schedule.pause()
    task = schedule.run_now()
    assert (task.scheduled_for, task.schedule_id) == (None, schedule.pk)
    assert Task.objects.get(pk=task.pk).schedule_id == schedule.pk
    assert schedule.last_task_id == task.pk
    assert schedule.is_paused
    assert schedule.next_run_at is None


def test_a_manual_one_is_only_run_by_hand() -> None:
    schedule = make_schedule(is_manual=True)
    assert (schedule.next_run_at, schedule.next_runs()) == (None, [])
    assert fire(schedule) == []
    assert schedule.run_now().status == "new"


def test_one_without_its_code_is_marked_and_skipped_and_the_others_fire(
    without: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    gone = late_schedule(10, key="gone", catch_up="all")
    other = make_schedule("other", processor_class=ONCE)
    make_due(other)
    without(SCHEDULED)
    with caplog.at_level(logging.WARNING):
        [task] = fire(gone, other)
    assert task.schedule_id == other.pk
    assert "cannot be found" in gone.problem
    assert (gone.missed, other.problem) == (10, "")
    assert gone.next_run_at > timezone.now()
    assert "schedule 'gone' cannot be fired" in caplog.text
    with pytest.raises(ProcessorClassNotFound):
        gone.run_now()


def test_a_tick_that_this_code_does_not_know_is_left_to_other_managers_first(
    without: Callable[[str], None],
) -> None:
    schedule = make_schedule(cron="0 0 1 1 *")
    change(schedule, next_run_at=timezone.now() - timedelta(seconds=20))
    without(SCHEDULED)
    schedule.refresh_from_db()
    before = schedule.next_run_at
    assert fire(schedule) == []
    assert (schedule.next_run_at, schedule.problem) == (before, "")
    assert lifecycle.fire_schedules().due_in == pytest.approx(40, abs=5)


def test_with_its_code_back_the_next_tick_fires_and_no_former_one() -> None:
    schedule = late_schedule(2, catch_up="all")
    change(schedule, problem="the processor is gone")
    assert fire(schedule) == []
    make_due(schedule)
    assert len(fire(schedule)) == 1
    assert schedule.problem == ""


@pytest.mark.parametrize(
    "columns",
    [{"cron": "61 * * * *"}, {"cron": "0 0 30 2 *"}, {"timezone": "Mars"}, {"every_seconds": -5}],
)
def test_what_was_made_wrong_past_the_model_is_its_problem_and_nobody_else_s(
    columns: dict[str, Any],
) -> None:
    wrong, other = make_schedule("wrong"), make_schedule("other")
    make_due(other)
    change(wrong, **columns)
    [task] = fire(wrong, other)
    assert task.schedule_id == other.pk
    assert wrong.problem
    assert wrong.next_run_at is None
    change(wrong, cron="* * * * *", timezone="UTC", every_seconds=0)
    fire(wrong)
    assert wrong.problem == ""
    assert wrong.next_run_at is not None


@pytest.mark.parametrize("columns", [{"queue_name": "nowhere"}, {"args": {"a": 1}}])
def test_what_cannot_be_enqueued_is_its_problem_and_tried_again_at_the_next_tick(
    columns: dict[str, Any],
) -> None:
    schedule = make_schedule()
    make_due(schedule)
    change(schedule, **columns)
    fire(schedule)
    assert ("nowhere" if "queue_name" in columns else "arguments are a list") in schedule.problem
    assert schedule.missed == 1
    assert schedule.next_run_at > timezone.now()


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"cron": "61 * * * *"}, "cron"),
        ({"cron": ""}, "cron"),
        ({"cron": "* * * * *", "every_seconds": 5}, "every_seconds"),
        ({"timezone": "Mars"}, "timezone"),
        ({"catch_up": "some"}, "catch_up"),
        ({"max_catch_up": 0}, "max_catch_up"),
        ({"key": ""}, "key"),
        ({"key": " x"}, "key"),
        ({"scheduled_for_kwarg": "no name"}, "scheduled_for_kwarg"),
        ({"processor_class": "tests.support.processors.Plain"}, "processor_class"),
        ({"processor_class": "shop.Gone"}, "processor_class"),
        ({"processor_class": CHOOSY}, "args"),
        ({"processor_class": CHOOSY, "args": [-1]}, "args"),
        ({"processor_class": CHOOSY, "args": [1], "kwargs": {"third": 1}}, "args"),
        ({"args": {"a": 1}}, "args"),
        ({"kwargs": [1]}, "kwargs"),
        ({"args": [float("nan")]}, "args"),
        ({"queue_name": "nowhere"}, "queue_name"),
    ],
)
def test_a_schedule_of_people_s_that_could_not_run_is_not_saved(
    columns: dict[str, Any], field: str
) -> None:
    values = {"key": "k", "processor_class": SCHEDULED, "cron": "* * * * *", **columns}
    with pytest.raises(ValidationError) as raised:
        StoredSchedule.objects.create(**values)
    assert list(raised.value.message_dict) == [field]
    assert all("." in said for said in raised.value.message_dict[field])
    assert not StoredSchedule.objects.exists()


def test_a_schedule_of_people_s_says_what_its_processor_takes() -> None:
    schedule = make_schedule(
        processor_class="Choosy", args=[1], kwargs={"second": 3}, scheduled_for_kwarg="at"
    )
    assert schedule.processor_class == CHOOSY, "the stored name"


def test_the_next_runs_are_told_in_the_schedule_s_own_zone() -> None:
    schedule = make_schedule(cron="0 12 * * *", timezone="America/New_York")
    runs = schedule.next_runs(3)
    assert len(runs) == 3
    assert {run.hour for run in runs} == {12}
    assert runs[0] == schedule.next_run_at


def test_many_due_ones_are_fired_in_several_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        make_due(make_schedule(f"{number}"))
    monkeypatch.setattr("django_partisan.lifecycle.schedules.FIRED_ROWS", 2)
    made: list[Task] = []
    while len(made) < 5:
        assert lifecycle.fire_schedules().due_in is not None
        before, made = made, list(Task.objects.filter(schedule_id__isnull=False))
        assert 0 < len(made) - len(before) <= 2


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what makes a processor unknown."""

    def forget(name: str) -> None:
        monkeypatch.delitem(registry._by_stored_name, name)
        monkeypatch.delitem(registry._by_bare_name, name.rpartition(".")[2])

    return forget
