"""The admin of schedules tells the truth, and lets the right people do the right thing."""

from __future__ import annotations

import html
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from django_partisan.models import StoredSchedule, Task
from django_partisan.registry.registry import registry
from tests.support.admin_pages import login
from tests.support.processors import Plain
from tests.support.schedules import CHOOSY, SCHEDULED, make_schedule

pytestmark = pytest.mark.django_db
LIST = "/admin/django_partisan/storedschedule/"
ADD = f"{LIST}add/"
HOSTILE = "<script>alert('x')</script>"


class Secretive(Plain):
    """Registered by its test alone: what unknown processors have is masked beside it."""

    SCHEDULABLE = True
    SENSITIVE_PARAMS = ("token",)


def text_of(response: Any) -> str:
    assert response.status_code == 200, response.status_code
    return html.unescape(response.content.decode())


def page_of(schedule: StoredSchedule) -> str:
    return f"{LIST}{schedule.pk}/change/"


def filled(**fields: Any) -> dict[str, Any]:
    """Return what a person writes into the form."""
    return {
        "key": "nightly",
        "processor_class": SCHEDULED,
        "cron": "30 2 * * *",
        "every_seconds": "",
        "timezone": "Europe/Paris",
        "args": "[1]",
        "kwargs": "{}",
        "queue_name": "",
        "priority": "",
        "catch_up": "latest",
        "max_catch_up": "100",
        "scheduled_for_kwarg": "",
        **fields,
    }


def act(client: Client, name: str, *schedules: StoredSchedule) -> str:
    data = {"action": name, "_selected_action": [each.pk for each in schedules]}
    return text_of(client.post(LIST, data, follow=True))


def test_the_list_shows_when_each_runs_and_what_keeps_it(admin: Client) -> None:
    make_schedule("busy", cron="30 8 * * MON", timezone="Europe/Paris", args=[HOSTILE])
    make_schedule("idle", every_seconds=90).pause(reason=HOSTILE, by="ada")
    make_schedule("ill")
    StoredSchedule.objects.filter(key="ill").update(problem=HOSTILE)
    make_schedule("hand", is_manual=True)
    response = admin.get(LIST)
    assert HOSTILE not in response.content.decode()
    page = text_of(response)
    assert "At 08:30 on Monday" in page
    for word in ("every 90 s", "paused", "by ada", "problem", "by hand", "Europe/Paris"):
        assert word in page


def test_a_person_adds_one_for_a_processor_that_allows_it(admin: Client) -> None:
    page = text_of(admin.get(ADD))
    assert SCHEDULED in page
    assert "tests.support.processors.Plain" not in page
    admin.post(ADD, filled(), follow=True)
    schedule = StoredSchedule.objects.get()
    assert (schedule.key, schedule.origin, schedule.args) == ("nightly", "people", [1])
    assert schedule.next_run_at > timezone.now()
    assert LogEntry.objects.count() == 1


def test_the_next_five_instants_are_shown_before_it_is_saved(admin: Client) -> None:
    page = text_of(admin.post(ADD, filled(_preview="1")))
    assert "Not saved yet" in page
    assert page.count(" 02:30:00 CE") == 5
    assert not StoredSchedule.objects.exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cron": "61 * * * *"}, "bad minute"),
        ({"cron": ""}, "one of both"),
        ({"every_seconds": "5"}, "one of both"),
        ({"timezone": "Mars"}, "is not known here"),
        ({"args": "[1"}, "Enter a valid JSON"),
        ({"args": '{"a": 1}'}, "arguments are a list"),
        ({"processor_class": CHOOSY, "args": "[-1]"}, "first must not be negative"),
        ({"processor_class": CHOOSY, "args": "[]"}, "missing 1 required"),
        ({"processor_class": "tests.support.processors.Plain"}, "valid choice"),
        ({"queue_name": "nowhere"}, "is not in PARTISAN_CONFIG"),
        ({"priority": "99999999999"}, "2147483647"),
        ({"key": ""}, "required"),
    ],
)
def test_what_could_not_run_is_not_saved(admin: Client, fields: dict[str, Any], said: str) -> None:
    for more in ({}, {"_preview": "1"}):
        assert said in text_of(admin.post(ADD, filled(**fields, **more)))
    assert not StoredSchedule.objects.exists()


def test_one_of_people_s_is_edited_and_goes_on_where_it_stood(admin: Client) -> None:
    schedule = make_schedule(cron="30 2 * * *", timezone="Europe/Paris")
    before = schedule.next_run_at
    page = text_of(admin.get(page_of(schedule)))
    assert page.count(" 02:30:00 CE") == 5
    admin.post(page_of(schedule), filled(args="[2]"), follow=True)
    schedule.refresh_from_db()
    assert (schedule.key, schedule.args, schedule.next_run_at) == ("tick", [2], before)
    admin.post(page_of(schedule), filled(cron="31 2 * * *"), follow=True)
    schedule.refresh_from_db()
    assert schedule.next_run_at - before == timedelta(minutes=1)


def test_one_of_the_code_is_not_edited_and_not_deleted(admin: Client) -> None:
    schedule = make_schedule()
    StoredSchedule.objects.update(origin="code")
    assert 'name="cron"' not in text_of(admin.get(page_of(schedule)))
    assert admin.post(page_of(schedule), filled()).status_code == 403
    assert admin.post(f"{LIST}{schedule.pk}/delete/", {"post": "yes"}).status_code == 403
    StoredSchedule.objects.update(removed_at=timezone.now())
    admin.post(f"{LIST}{schedule.pk}/delete/", {"post": "yes"})
    assert not StoredSchedule.objects.exists()


def test_actions_pause_resume_and_run_and_are_kept_in_the_log(admin: Client) -> None:
    schedule = make_schedule()
    assert "Paused: 1 schedule." in act(admin, "pause", schedule)
    schedule.refresh_from_db()
    assert (schedule.paused_by, schedule.next_run_at) == ("admin", None)
    assert "Paused: 0 schedules." in act(admin, "pause", schedule)
    assert "Run: 1 schedule." in act(admin, "run_now", schedule)
    assert Task.objects.get().schedule_id == schedule.pk
    assert "Resumed: 1 schedule." in act(admin, "resume", schedule)
    told = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert list(told) == ["Paused.", "Run.", "Resumed."]


def test_what_cannot_be_run_is_told(admin: Client) -> None:
    schedule = make_schedule()
    StoredSchedule.objects.update(processor_class="shop.Gone")
    assert "cannot be found" in act(admin, "run_now", schedule)
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("permissions", "actions"),
    [
        (["view_storedschedule"], set()),
        (["view_storedschedule", "change_storedschedule"], {"pause", "resume"}),
        (["view_storedschedule", "run_schedule"], {"run_now"}),
    ],
)
def test_each_action_needs_its_permission(
    client: Client, permissions: list[str], actions: set[str]
) -> None:
    schedule = make_schedule()
    login(client, *permissions)
    page = text_of(client.get(LIST))
    offered = {name for name in ("pause", "resume", "run_now") if f'value="{name}"' in page}
    assert offered == actions
    for name in {"pause", "run_now"} - actions:
        act(client, name, schedule)
    schedule.refresh_from_db()
    assert schedule.is_paused is False
    assert not Task.objects.exists()
    assert client.get(ADD).status_code == 403


def test_secret_arguments_are_masked(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    name = registry.stored_name(Secretive)
    monkeypatch.setitem(registry._by_stored_name, name, Secretive)
    schedule = make_schedule(processor_class=name, kwargs={"token": "s3cr3t"})
    for page in (LIST, page_of(schedule)):
        assert "s3cr3t" not in text_of(admin.get(page))
    admin.post(page_of(schedule), filled(processor_class=schedule.processor_class))
    schedule.refresh_from_db()
    assert schedule.kwargs == {"token": "s3cr3t"}
