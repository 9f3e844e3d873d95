"""Three managers and a schedule, killed inside the firing transaction: row 16 of the faults."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from django_partisan.models import StoredSchedule, Task
from tests.app.partisan_tasks import NoteTick
from tests.faults.striker import Strike
from tests.processes.conftest import StartManager
from tests.settings import INSTALLED_APPS
from tests.support.harness import SHORT_LIVES, Manager
from tests.support.helpers import wait_until
from tests.support.ledger import Book

POINTS = (
    *("manager.locked_schedules", "manager.made_tasks_of_schedule"),
    *("manager.moved_schedule", "manager.fired_schedules"),
)
QUICK = ("manager.made_tasks_of_schedule",)
ONE_WORKER: dict[str, Any] = {"WORKERS_COUNT": 1}
WITH_SCHEDULES = {"INSTALLED_APPS": [*INSTALLED_APPS, "tests.schedule_app"]}


def each_second(**columns: Any) -> StoredSchedule:
    return StoredSchedule.objects.create(
        key="each second",
        processor_class=NoteTick().processor_name,
        **{"every_seconds": 1, "catch_up": "all", "scheduled_for_kwarg": "tick", **columns},
    )


def fired() -> list[datetime]:
    """Return the ticks that have got tasks, in the order of those."""
    rows = Task.objects.filter(scheduled_for__isnull=False).order_by("pk")
    return [tick for tick in rows.values_list("scheduled_for", flat=True) if tick is not None]


def note_tasks(book: Book) -> None:
    book.ids += list(Task.objects.values_list("pk", flat=True))


def have_all_ended() -> bool:
    return not Task.objects.exclude(status="finished").exists()


def end(book: Book, *managers: Manager) -> None:
    """Have nothing new fired, and everything run."""
    StoredSchedule.objects.get().pause()
    wait_until(have_all_ended, message=lambda: "\n".join(each.log for each in managers))
    note_tasks(book)


def assert_one_task_for_each_tick(first: datetime) -> None:
    ticks = fired()
    assert ticks[0] == first
    assert {later - sooner for sooner, later in pairwise(ticks)} == {timedelta(seconds=1)}


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, marks=() if point in QUICK else pytest.mark.long, id=point)
        for point in POINTS
    ],
)
def test_a_kill_inside_the_transaction_neither_loses_nor_doubles_a_tick(
    start_manager: StartManager, book: Book, tmp_path: Path, point: str
) -> None:
    strike = Strike(point=point, action="kill", directory=str(tmp_path / "strikes"))
    Path(strike.directory).mkdir()
    first = each_second().next_run_at
    assert first is not None
    count = 3 if connection.vendor == "postgresql" else 1
    managers = [
        start_manager(
            is_waiting=False, queue=ONE_WORKER, settings=SHORT_LIVES, environment=strike.variables
        )
        for _ in range(count)
    ]
    [(_, pid)] = wait_until(strike.struck, message=lambda: managers[0].log)
    wait_until(lambda: any(manager.process.poll() is not None for manager in managers))
    if count == 1:
        managers.append(start_manager(queue=ONE_WORKER))
    before = len(fired())
    wait_until(lambda: len(fired()) > before + 2, message=lambda: managers[-1].log)
    end(book, *managers)
    assert_one_task_for_each_tick(first)
    assert pid in {manager.pid for manager in managers}


@pytest.mark.long
@pytest.mark.postgresql
def test_kills_at_random_for_a_while_neither_lose_nor_double_a_tick(
    start_manager: StartManager, book: Book, tmp_path: Path
) -> None:
    first = each_second().next_run_at
    assert first is not None
    for number, point in enumerate(POINTS * 3):
        strike = Strike(point=point, action="kill", directory=str(tmp_path / f"strikes-{number}"))
        Path(strike.directory).mkdir()
        managers = [
            start_manager(
                is_waiting=False,
                queue=ONE_WORKER,
                settings=SHORT_LIVES,
                environment=strike.variables,
            )
            for _ in range(3)
        ]
        wait_until(strike.struck)
        for manager in managers:
            manager.stop()
    last = start_manager(queue=ONE_WORKER)
    wait_until(lambda: timezone.now() - fired()[-1] < timedelta(seconds=2))
    end(book, last)
    assert_one_task_for_each_tick(first)


def test_what_people_add_while_a_manager_runs_is_fired_at_its_moments(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue=ONE_WORKER)
    each_second()
    wait_until(lambda: len(fired()) >= 2, message=lambda: manager.log)
    end(book, manager)
    task = Task.objects.order_by("pk")[0]
    assert task.scheduled_for is not None
    assert task.arguments["kwargs"]["tick"] == task.scheduled_for.isoformat()
    assert (task.created_at - task.scheduled_for).total_seconds() >= 0


def test_the_code_s_schedules_come_with_a_manager_and_go_with_their_code(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue=ONE_WORKER, settings=WITH_SCHEDULES)
    wait_until(lambda: StoredSchedule.objects.count() == 3, message=lambda: manager.log)
    wait_until(lambda: Task.objects.count() >= 2, message=lambda: manager.log)
    manager.stop()
    history = Task.objects.count()
    other = start_manager(queue=ONE_WORKER)
    wait_until(
        lambda: not StoredSchedule.objects.filter(removed_at=None).exists(),
        message=lambda: other.log,
    )
    assert Task.objects.count() == history
    other.stop()
    start_manager(queue=ONE_WORKER, settings=WITH_SCHEDULES)
    wait_until(lambda: not StoredSchedule.objects.exclude(removed_at=None).exists())
    book.ids += list(Task.objects.values_list("pk", flat=True))
    book.waiting |= set(book.ids)


@pytest.mark.long
def test_a_kill_while_the_code_s_schedules_are_stored_stores_each_once(
    start_manager: StartManager, book: Book, tmp_path: Path
) -> None:
    point = "manager.inserted_schedules"
    strike = Strike(point=point, action="kill", directory=str(tmp_path / "strikes"))
    Path(strike.directory).mkdir()
    first = start_manager(
        is_waiting=False, settings=WITH_SCHEDULES | SHORT_LIVES, environment=strike.variables
    )
    wait_until(strike.struck, message=lambda: first.log)
    first.wait_for_exit()
    assert not StoredSchedule.objects.exists()
    second = start_manager(queue=ONE_WORKER, settings=WITH_SCHEDULES)
    wait_until(lambda: StoredSchedule.objects.count() == 3, message=lambda: second.log)
    yearly = StoredSchedule.objects.get(key="yearly")
    assert Task.objects.filter(schedule_id=yearly.pk).count() == 1
    second.stop()
    note_tasks(book)
    book.waiting |= set(book.ids)
