"""The page of a task leads to the object whose method it calls."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.shop_app.models import Order, Ticket
from tests.support.admin_pages import page_of
from tests.support.processors import Plain

pytestmark = pytest.mark.django_db


def page(admin: Client, task: Any) -> str:
    return admin.get(page_of(task)).content.decode()


def with_key(key: str) -> Any:
    task = Plain().delay()
    task.object_key = key
    task.save()
    return task


def test_the_object_is_named_where_its_model_has_no_pages(admin: Client) -> None:
    order, ticket = Order.objects.create(), Ticket.objects.create(code="a/b <c>")
    shown = f'<div class="readonly">shop_app.order:{order.pk}</div>'
    assert shown in page(admin, order.send.delay())
    assert "shop_app.ticket:a/b &lt;c&gt;" in page(admin, ticket.send.delay())


@pytest.mark.parametrize(("pk", "quoted"), [("3", "3"), ("a/b:c", "a_2Fb_3Ac")])
def test_the_object_is_a_link_where_its_model_has_pages(
    admin: Client, pk: str, quoted: str
) -> None:
    link = f'<a href="/admin/auth/user/{quoted}/change/">auth.user:{pk}</a>'
    assert link in page(admin, with_key(f"auth.user:{pk}"))


def test_the_object_of_a_model_that_is_gone_is_named_all_the_same(admin: Client) -> None:
    assert "gone.model:3" in page(admin, with_key("gone.model:3"))


def test_a_task_without_an_object_shows_none(admin: Client) -> None:
    assert "field-object" not in page(admin, Plain().delay())
