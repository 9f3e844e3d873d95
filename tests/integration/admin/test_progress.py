"""The admin shows how far tasks are, by their own account, and none of their secrets."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_partisan.models import Progress, Task
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry.registry import registry
from tests.support.admin_pages import LIST, page_of
from tests.support.rows import make_task

pytestmark = pytest.mark.django_db


class Secretive(BaseTaskProcessor):
    SENSITIVE_PARAMS = ("secret",)

    def run(self) -> None:
        """Do nothing."""


@pytest.fixture
def secretive(monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("_by_stored_name", "_by_alias", "_by_bare_name"):
        monkeypatch.setattr(registry, name, copy.deepcopy(getattr(registry, name)))
    registry.register(Secretive)
    return registry.stored_name(Secretive)


def make_progress(task: Task, **columns: Any) -> Progress:
    return Progress.objects.create(
        task=task, lease=1, **{"progressed_at": timezone.now(), **columns}
    )


def text_of(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def test_a_bar_shows_how_far_a_task_is(admin: Client) -> None:
    task = make_task("in_process", processor_class="tests.app.partisan_tasks.Note")
    make_progress(task, done=1500, total=6000, message="<b>Lisboa</b>")
    for address in (LIST, page_of(task)):
        page = text_of(admin, address)
        assert '<progress class="partisan-progress" value="0.2500" max="1">' in page
        assert "25 % (1,500 of 6,000): &lt;b&gt;Lisboa&lt;/b&gt;" in page


def test_without_a_total_the_bar_says_only_what_is_done(admin: Client) -> None:
    task = make_task("finished", ended_ago=5)
    make_progress(task, done=0.5)
    for address in (LIST, page_of(task)):
        assert '<progress class="partisan-progress"></progress> 0.5 done' in text_of(admin, address)


def test_a_task_that_has_told_nothing_has_no_bar(admin: Client) -> None:
    task = make_task("in_process")
    for address in (LIST, page_of(task)):
        assert "<progress" not in text_of(admin, address)
    make_progress(task, progressed_at=None, checkpoint="[1]")
    for address in (LIST, page_of(task)):
        assert "<progress" not in text_of(admin, address)


def test_no_secret_stands_in_the_message_or_in_the_checkpoint(
    admin: Client, secretive: str
) -> None:
    arguments = {"args": [], "kwargs": {"secret": "hunter2"}}
    task = make_task("in_process", processor_class=secretive, arguments=arguments)
    make_progress(
        task,
        done=1,
        total=2,
        message="for hunter2",
        checkpoint='{"of":"hunter2","at":5}',
        resumptions=3,
    )
    page = text_of(admin, page_of(task))
    assert "50 % (1 of 2): for ********" in page
    assert "&quot;of&quot;: &quot;********&quot;" in page
    assert "hunter2" not in page
    assert "Resumptions" in page
    overview = text_of(admin, LIST)
    assert "50 % (1 of 2)" in overview
    assert "for " not in overview.partition("50 % (1 of 2)")[2][:40]


def test_many_bars_cost_no_more_statements_than_one(admin: Client) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            text_of(admin, LIST)
        return len(captured)

    make_progress(make_task("in_process"), done=1)
    few = statements()
    for _ in range(20):
        make_progress(make_task("in_process"), done=1)
    assert statements() == few
