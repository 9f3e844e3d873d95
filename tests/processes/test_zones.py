"""A manager of a project without time zones: what is due runs, what it writes is read as now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_partisan.models import Attempt, ManagerProcess, Task
from tests.app.models import Ledger
from tests.app.partisan_tasks import Note, PostponeTwice, SucceedAtThird
from tests.processes.conftest import StartManager
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are
from tests.support.rows import make_task

HOUR = timedelta(hours=1)


def is_now(moment: datetime | None) -> bool:
    assert moment is not None
    return abs(timezone.now() - moment) < timedelta(minutes=20)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_a_project_without_time_zones_has_its_tasks_run_in_time(
    start_manager: StartManager, book: Book, settings: Any, zone: str
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, zone
    waiting = Note().delay(execute_after=timezone.now() + HOUR).pk
    old, young = (make_task("finished", ended_ago=seconds).pk for seconds in (7200, 1800))
    manager = start_manager(
        queue={"KEEP_FINISHED_SECONDS": 3600}, settings={"USE_TZ": False, "TIME_ZONE": zone}
    )
    ids = book.enqueue(SucceedAtThird(), PostponeTwice())
    ids.append(Note().delay(execute_after=timezone.now() + timedelta(seconds=1)).pk)
    ids += [task.pk for task in Note.delay_many([(1,)], execute_after=timezone.now())]
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    wait_until(lambda: not Task.objects.filter(pk=old).exists())
    assert Task.objects.filter(pk__in=[young, waiting]).count() == 2
    for task in Task.objects.filter(pk__in=ids):
        moments = task.created_at, task.execute_after, task.started_at, task.finished_at
        assert all(map(is_now, (*moments, task.claimed_at, task.updated_at)))
    assert all(map(is_now, Attempt.objects.values_list("created_at", flat=True)))
    assert all(map(is_now, Ledger.objects.values_list("at", flat=True)))
    assert is_now(ManagerProcess.objects.get().last_seen)
    Task.objects.filter(pk__in=[young, waiting]).delete()
