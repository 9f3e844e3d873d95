"""The admin of pauses, and how the list of tasks shows what is paused."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from django_partisan.control import pause, pauses
from django_partisan.models import Pause
from tests.support.factories import claim, enqueue, row_of
from tests.support.processors import InOtherQueue, Plain, Unique

pytestmark = pytest.mark.django_db
PLAIN = "tests.support.processors.Plain"


def url(name: str, *args: Any) -> str:
    return reverse(f"admin:django_partisan_{name}", args=args)


def form(**given: str) -> dict[str, str]:
    empty = dict.fromkeys(("queue_name", "processor_class", "until_0", "until_1", "reason"), "")
    return {**empty, **given}


def test_a_queue_is_paused_changed_and_resumed(admin_client: Client) -> None:
    admin_client.post(url("pause_add"), form(queue_name="default", reason="the relay is down"))
    [row] = pauses()
    assert (row.queue_name, row.reason, row.paused_by) == ("default", "the relay is down", "admin")
    page = admin_client.get(url("pause_changelist")).content.decode()
    assert "queue &#x27;default&#x27;" in page
    assert "the relay is down" in page
    later = form(until_0="2100-01-01", until_1="08:00:00", reason="b")
    admin_client.post(url("pause_change", row.pk), later)
    [changed] = pauses()
    assert (changed.pk, changed.reason) == (row.pk, "b")
    assert changed.until is not None
    assert changed.until.year in (2099, 2100)
    chosen = {"action": "resume", "_selected_action": [row.pk]}
    admin_client.post(url("pause_changelist"), chosen)
    assert pauses() == []


def test_a_processor_is_paused_by_name_and_deleting_the_pause_frees_its_tasks(
    admin_client: Client,
) -> None:
    [task] = enqueue()
    admin_client.post(url("pause_add"), form(processor_class=PLAIN))
    row = Pause.objects.get()
    assert row_of(task).held_by == row.pk
    assert "1" in admin_client.get(url("pause_changelist")).content.decode()
    admin_client.post(url("pause_delete", row.pk), {"post": "yes"})
    assert row_of(task).held_by is None
    assert len(claim()) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "either queue_name= or processor="),
        ({"queue_name": "a", "processor_class": "b"}, "either queue_name= or processor="),
        ({"queue_name": "a", "until_0": "2000-01-01", "until_1": "00:00:00"}, "has passed"),
        ({"queue_name": "a", "until_0": "soon"}, "Enter a valid date"),
    ],
)
def test_what_cannot_be_paused_is_told_on_the_page(
    admin_client: Client, given: dict[str, str], said: str
) -> None:
    page = admin_client.post(url("pause_add"), form(**given)).content.decode()
    assert said in page
    assert not Pause.objects.exists()


def test_a_name_that_nothing_has_is_paused_with_a_warning(admin_client: Client) -> None:
    page = admin_client.post(url("pause_add"), form(queue_name="defualt"), follow=True)
    assert "did you mean" in page.content.decode()
    assert len(pauses()) == 1


def test_who_may_only_look_can_neither_pause_nor_resume(
    client: Client, django_user_model: Any
) -> None:
    from django.contrib.auth.models import Permission

    pause(queue_name="default")
    user = django_user_model.objects.create_user("eve", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_pause"))
    client.force_login(user)
    assert client.get(url("pause_changelist")).status_code == 200
    assert client.post(url("pause_add"), form(queue_name="other")).status_code == 403
    chosen = {"action": "resume", "_selected_action": [Pause.objects.get().pk]}
    client.post(url("pause_changelist"), chosen)
    assert len(pauses()) == 1


def test_the_list_of_tasks_shows_and_filters_what_is_paused(admin_client: Client) -> None:
    held, unique, other = Plain().delay(), Unique().delay(), InOtherQueue().delay()
    pause(processor=Plain)
    pause(queue_name="other")

    def listed(**filters: str) -> tuple[set[int], str]:
        answer = admin_client.get(url("task_changelist"), filters)
        return {task.pk for task in answer.context["cl"].result_list}, answer.content.decode()

    ids, page = listed()
    assert ids == {held.pk, unique.pk, other.pk}
    assert page.count("partisan-badge partisan-paused") == 2
    assert listed(paused="yes")[0] == {held.pk, other.pk}
    assert listed(paused="no")[0] == {unique.pk}
    assert "partisan-paused" in admin_client.get(url("task_change", held.pk)).content.decode()
