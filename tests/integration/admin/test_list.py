"""The list of tasks tells what matters of each, and finds among millions what is asked for."""

from __future__ import annotations

import copy
import html
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_partisan.admin import lists
from django_partisan.inline import claim
from django_partisan.manager.pool.launcher_client import LauncherClient
from django_partisan.manager.pool.worker_handle import WorkerHandle
from django_partisan.models import ManagerProcess, Task
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry.registry import registry
from tests.support.admin_pages import LIST, page_of
from tests.support.claimed_tasks import claimed_task
from tests.support.rows import make_attempt, make_task

pytestmark = pytest.mark.django_db


class Known(BaseTaskProcessor):
    ALIASES = ("old.Known",)

    def run(self) -> None:
        """Do nothing."""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("_by_stored_name", "_by_alias", "_by_bare_name"):
        monkeypatch.setattr(registry, name, copy.deepcopy(getattr(registry, name)))
    registry.register(Known)
    return registry.stored_name(Known)


@pytest.fixture
def handle() -> Iterator[WorkerHandle]:
    handle = WorkerHandle(1, 0.0, cast("LauncherClient", None))
    yield handle
    handle.close()


def text_of(admin: Client, address: str) -> str:
    response = admin.get(address)
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def row_of(admin: Client, task: Task) -> str:
    """Return the text of a task's row in the list."""
    rows = re.findall(r"<tr>.*?</tr>", text_of(admin, LIST), re.DOTALL)
    row = next(row for row in rows if f'value="{task.pk}"' in row)
    return re.sub(r"<[^>]*>", " ", row)


def found_by(admin: Client, query: str) -> set[int]:
    return set(
        map(int, re.findall(r'"_selected_action" value="(\d+)"', text_of(admin, LIST + query)))
    )


# --- What it tells of each --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ({"args": [7, "ü"], "kwargs": {"depth": None}}, '7, "ü", depth=null'),
        ({"args": [], "kwargs": {"to": {"a": [1]}}}, 'to={"a": [1]}'),
        ({"args": 5, "kwargs": []}, '{"args": 5, "kwargs": []}'),
        (["x"], '["x"]'),
        ({"args": ["y" * 150], "kwargs": {}}, "y" * 99 + "…"),
        ({"args": ["z" * 9000], "kwargs": {}}, "z" * 80),
    ],
)
def test_it_shows_the_arguments_as_they_stand_in_a_call(
    admin: Client, arguments: Any, shown: str
) -> None:
    row = row_of(admin, make_task(arguments=arguments))
    assert shown in row
    assert len(row) < 1_000


def test_it_shows_the_first_line_of_what_went_wrong_last(admin: Client) -> None:
    task = make_task("error", attempts=2)
    make_attempt(task, 1, message="before", outcome="retried")
    make_attempt(task, 2, message="\nno such customer\nand more", error_type="shop.NotThere")
    row = row_of(admin, task)
    assert "NotThere: no such customer" in row
    assert "2 attempts" in row
    assert "and more" not in row
    assert "before" not in row


def test_it_shows_an_error_while_it_matters(admin: Client) -> None:
    waits = make_task("new", retries=1)
    finished, again = make_task("finished", retries=1), make_task("new")
    for task in (waits, finished, again):
        make_attempt(task, message="away")
    assert "ValueError: away" in row_of(admin, waits)
    assert "away" not in row_of(admin, finished)
    assert "away" not in row_of(admin, again), "it was put back since"


# --- What runs, and what waits ----------------------------------------------------------------


def manager_with(*workers: Any, **columns: Any) -> ManagerProcess:
    snapshot = {"workers": workers, "waiting": 1}
    return ManagerProcess.objects.create(
        node_name="host-a", pid=17, **{"snapshot": snapshot, **columns}
    )


def held(manager_id: int, *, claimed_ago: float = 90, **columns: Any) -> Task:
    moment = timezone.now() - timedelta(seconds=claimed_ago)
    return make_task("in_process", manager_id=manager_id, claimed_at=moment, **columns)


def test_what_runs_is_told_from_what_waits_in_a_local_queue(
    admin: Client, handle: WorkerHandle
) -> None:
    runs, waits = held(0, lease=3), held(0, lease=3)
    handle.pid = 4711
    handle.hand_out([(claimed_task(runs.pk, lease=3), None)], now=100)
    manager = manager_with(handle.snapshot(now=7300))
    Task.objects.update(manager_id=manager.pk)
    assert "runs for 2 h" in row_of(admin, runs)
    assert "in a local queue" in row_of(admin, waits)
    page = text_of(admin, page_of(runs))
    assert re.search(r"runs for 2 h: since [\d-]+ [\d:.]+ UTC, in worker process 4711", page)
    assert "not begun at the heartbeat" in text_of(admin, page_of(waits))
    page = text_of(admin, f"/admin/django_partisan/managerprocess/{manager.pk}/change/")
    assert f'<a href="{page_of(runs)}">task {runs.pk}</a>, Mail for 2 h' in page
    assert "1 task in the local queue" in page


def test_an_earlier_attempt_that_ran_at_the_heartbeat_is_not_taken_for_this_one(
    admin: Client,
) -> None:
    task = held(0, lease=4, claimed_ago=0)
    told = {"worker": 1, "pid": 5, "task": task.pk, "lease": 3, "processor": "a", "seconds": 1}
    seen = timezone.now() - timedelta(seconds=3)
    Task.objects.update(manager_id=manager_with(told, last_seen=seen).pk)
    row = row_of(admin, task)
    assert "runs" not in row
    assert "claimed" in row


def test_what_has_no_living_manager_is_an_orphan(admin: Client) -> None:
    dead = manager_with(last_seen=timezone.now() - timedelta(hours=1))
    for manager_id in (dead.pk, dead.pk + 1):
        assert "orphan" in row_of(admin, held(manager_id))


def test_a_start_that_was_written_down_counts_and_a_manager_that_tells_nothing_is_not_made_up(
    admin: Client,
) -> None:
    manager = manager_with(snapshot={})
    started = held(manager.pk, started_at=timezone.now() - timedelta(hours=3, seconds=5))
    assert "runs for 3 h" in row_of(admin, started)
    assert "claimed 1 min 30 s ago" in row_of(admin, held(manager.pk))
    make_task("new")
    (claimed,) = claim(1)
    assert "claimed" in row_of(admin, claimed)


# --- Filters ----------------------------------------------------------------------------------


def test_a_processor_is_found_under_all_its_names(admin: Client, known: str) -> None:
    mine = {make_task(processor_class=name).pk for name in (known, "old.Known", "Known")}
    other = make_task(processor_class="gone.Known").pk
    page = text_of(admin, LIST)
    assert f'?processor={known}">' in page
    assert "gone.Known&" not in page
    assert found_by(admin, f"?processor={known}") == mine
    assert found_by(admin, "?processor=*other*") == {other}
    assert found_by(admin, "?processor=gone.Known") == {other}
    assert found_by(admin, "?processor=%00") == set()


@pytest.mark.parametrize(("span", "count"), [("hour", 1), ("day", 2), ("week", 3), ("month", 4)])
def test_tasks_are_found_by_when_they_were_enqueued(admin: Client, span: str, count: int) -> None:
    tasks = [make_task() for _ in range(5)]
    for task, hours in zip(tasks, (0.9, 23, 167, 719, 721), strict=True):
        moment = timezone.now() - timedelta(hours=hours)
        Task.objects.filter(pk=task.pk).update(created_at=moment)
    assert found_by(admin, f"?created={span}") == {task.pk for task in tasks[:count]}
    assert len(found_by(admin, "?created=never")) == 5


def test_filters_without_an_index_look_at_the_newest_that_others_leave(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MAX_FILTERED", 2)
    failed = [make_task("error") for _ in range(3)]
    for _ in range(3):
        make_task("finished")
    newest = {task.pk for task in failed[1:]}
    for query in ("processor=*other*", "created=day", "processor=*other*&created=hour"):
        with CaptureQueriesContext(connection) as captured:
            assert found_by(admin, f"?status__exact=error&{query}") == newest
        queries = [query["sql"] for query in captured]
        assert not any("DISTINCT" in sql for sql in queries)
        assert all("LIMIT" in sql for sql in queries if "COUNT(" in sql.upper())


def test_pages_explain_to_operators(admin: Client) -> None:
    page = text_of(admin, page_of(make_task("error")))
    assert "the lowest number runs first" in page
    assert "Proves whose claim it is" not in page
    manager = manager_with()
    page = text_of(admin, f"/admin/django_partisan/managerprocess/{manager.pk}/change/")
    assert "takes nothing new and ends after what runs" in page
