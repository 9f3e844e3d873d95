"""The admin shows what tells tasks apart, and finds them by it."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_partisan.models import Task
from django_partisan.models.object_keys import object_key
from tests.app.models import Ledger
from tests.support.admin_pages import LIST, page_of
from tests.support.rows import make_task

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>"


def text_of(admin: Client, address: str) -> str:
    response = admin.get(address)
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def found_by(admin: Client, query: str) -> set[int]:
    rows = re.findall(r'"_selected_action" value="(\d+)"', text_of(admin, LIST + query))
    return set(map(int, rows))


def labelled(**columns: Any) -> Task:
    return make_task(arguments={"args": [7], "kwargs": {}}, **columns)


def test_the_list_calls_a_task_by_its_own_name_and_says_what_it_is_below(admin: Client) -> None:
    labelled(verbose_name="Invoice 17 of Ada", processor_class="shop.partisan_tasks.Send")
    page = text_of(admin, LIST)
    assert '<span title="shop.partisan_tasks.Send">Invoice 17 of Ada</span>' in page
    assert "Send: 7" in page


def test_creators_and_tags_cost_the_list_no_query(admin: Client) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            text_of(admin, LIST)
        return len(captured)

    labelled()
    before = count()
    for number in range(10):
        user = User.objects.create_user(f"user {number}")
        labelled(creator_key=object_key(user), tags=["a", str(number)], verbose_name=str(number))
    assert count() == before


def test_the_page_of_a_task_leads_to_its_creator_and_to_others_with_its_tags(
    admin: Client,
) -> None:
    user = User.objects.create_user("ada")
    task = labelled(creator_key=object_key(user), tags=["vip & co", "a"], verbose_name="Invoice 17")
    page = text_of(admin, page_of(task))
    assert f'<a href="/admin/auth/user/{user.pk}/change/">ada</a>' in page
    assert f'<a href="{LIST}?tag=vip+%26+co">vip & co</a>' in page
    assert "Invoice 17 #" in page
    user.delete()
    assert f"auth.user:{user.pk or ''}" in text_of(admin, page_of(task))
    assert "which is gone" in text_of(admin, page_of(task))


def test_a_creator_without_a_page_in_this_admin_is_shown_as_text(admin: Client) -> None:
    task = labelled(creator_key=object_key(Ledger.objects.create(task_id=4711)))
    page = text_of(admin, page_of(task))
    assert "task 4711, lease 0" in page
    assert "/ledger/" not in page


def test_a_task_without_labels_has_its_page(admin: Client) -> None:
    assert "which is gone" not in text_of(admin, page_of(labelled()))


def test_tasks_are_found_by_a_tag_and_by_their_name(admin: Client) -> None:
    a, ab = labelled(tags=["a"]), labelled(tags=["a", "b"], verbose_name="Invoice 17")
    labelled()
    assert found_by(admin, "?tag=a") == {a.pk, ab.pk}
    assert found_by(admin, "?tag=b") == {ab.pk}
    assert found_by(admin, "?tag=c") == found_by(admin, "?tag=a,b") == set()
    assert found_by(admin, "?tag=%00") == found_by(admin, f"?tag={'x' * 99}") == set()
    assert found_by(admin, "?q=invoice") == {ab.pk}
    assert "By tag" in text_of(admin, f"{LIST}?tag=a")
    assert "By tag" not in text_of(admin, LIST)


def test_hostile_labels_are_escaped(admin: Client) -> None:
    user = User.objects.create_user(HOSTILE)
    task = labelled(verbose_name=HOSTILE, tags=[HOSTILE], creator_key=object_key(user))
    for address in (LIST, page_of(task), f"{LIST}?tag={HOSTILE}", f"{LIST}{task.pk}/delete/"):
        assert HOSTILE not in admin.get(address).content.decode()
