"""Tasks that retention lets go of are deleted, and no others."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from django_partisan import lifecycle
from django_partisan.lifecycle.prune import _expired
from django_partisan.models import Attempt, Task
from django_partisan.settings import QueueSettings
from tests.support.helpers import HANG_SECONDS
from tests.support.rows import make_attempt, make_task

DAY = 86_400.0
KEEP = QueueSettings(KEEP_FINISHED_SECONDS=DAY, KEEP_FAILED_SECONDS=7 * DAY)

pytestmark = pytest.mark.django_db


def statuses() -> list[str]:
    return sorted(Task.objects.values_list("status", flat=True))


def test_nothing_is_pruned_unless_a_setting_says_so() -> None:
    for status in Task.TERMINAL_STATUSES:
        make_task(status, ended_ago=1000 * DAY)
    assert lifecycle.prune("default", QueueSettings()) == {
        "finished": 0,
        "error": 0,
        "cancelled": 0,
    }
    assert Task.objects.count() == 3


def test_each_status_goes_after_its_own_time() -> None:
    for status in Task.TERMINAL_STATUSES:
        for days in (0.5, 2, 8):
            make_task(status, ended_ago=days * DAY)
    pruned = lifecycle.prune("default", KEEP)
    assert pruned == {"finished": 2, "error": 1, "cancelled": 2}
    assert statuses() == ["cancelled", "error", "error", "finished"]


def test_tasks_that_have_not_ended_are_never_pruned() -> None:
    for status in ("new", "in_process"):
        make_task(status, ended_ago=30 * DAY)
    lifecycle.prune("default", KEEP)
    assert statuses() == ["in_process", "new"]


def test_other_queues_keep_their_tasks() -> None:
    make_task("finished", ended_ago=30 * DAY, queue_name="slow")
    assert sum(lifecycle.prune("default", KEEP).values()) == 0
    assert sum(lifecycle.prune("slow", KEEP).values()) == 1


def test_attempts_go_with_their_task_and_only_with_it() -> None:
    gone, kept = make_task("error", ended_ago=8 * DAY), make_task("error", ended_ago=1 * DAY)
    for task in (gone, gone, kept):
        make_attempt(task)
    lifecycle.prune("default", KEEP)
    assert list(Attempt.objects.values_list("task_id", flat=True)) == [kept.pk]


def test_a_batch_takes_the_oldest_and_no_more_than_its_limit() -> None:
    tasks = [make_task("finished", ended_ago=(2 + n) * DAY) for n in range(5)]
    make_task("error", ended_ago=9 * DAY)
    assert lifecycle.prune("default", KEEP, limit=2) == {"finished": 2, "error": 0, "cancelled": 0}
    assert not Task.objects.filter(pk__in=[tasks[3].pk, tasks[4].pk]).exists()
    assert sum(lifecycle.prune("default", KEEP, limit=50).values()) == 4


def test_zero_seconds_keep_nothing() -> None:
    make_task("finished", ended_ago=1)
    assert lifecycle.prune("default", QueueSettings(KEEP_FINISHED_SECONDS=0))["finished"] == 1


def test_counting_changes_nothing_and_agrees_with_pruning() -> None:
    for days in (0.5, 2, 8):
        make_task("finished", ended_ago=days * DAY)
        make_task("error", ended_ago=days * DAY)
    expected = {"finished": 2, "error": 1, "cancelled": 0}
    assert lifecycle.count_prunable("default", KEEP) == expected
    assert Task.objects.count() == 6
    assert lifecycle.prune("default", KEEP) == expected


@pytest.mark.parametrize("status", Task.TERMINAL_STATUSES)
@pytest.mark.parametrize("is_bounded", [False, True], ids=["all", "leftovers"])
def test_the_search_uses_the_index_of_ended_tasks(status: str, is_bounded: bool) -> None:
    since = {"finished_at__gte": Now() - timedelta(days=2)} if is_bounded else {}
    expired = _expired("default", status, DAY).filter(**since)[:500]
    if connection.vendor == "postgresql":
        # An empty table is read at once; the question is whether the index would serve.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            plan = expired.explain()
    else:
        plan = expired.explain()
    assert "partisan_task_finished" in plan
    assert "status" in plan
    assert "queue_name" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


def test_pruning_reads_only_keys_so_broken_arguments_are_no_obstacle() -> None:
    make_task("finished", ended_ago=2 * DAY)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        lifecycle.prune("default", KEEP)
    assert not any("arguments" in query["sql"] for query in queries)


def test_deleting_by_hand_leaves_tasks_in_process() -> None:
    tasks = {status: make_task(status) for status in Task.Status.values}
    make_attempt(tasks["error"])
    make_attempt(tasks["in_process"], outcome="retried")
    deleted = lifecycle.delete(task.pk for task in tasks.values())
    assert sorted(deleted) == sorted(t.pk for s, t in tasks.items() if s != "in_process")
    assert statuses() == ["in_process"]
    assert Attempt.objects.count() == 1


def test_deleting_what_is_gone_deletes_nothing() -> None:
    assert lifecycle.delete([]) == []
    assert lifecycle.delete([987_654_321]) == []


@pytest.mark.django_db(transaction=True)
def test_two_rivals_delete_each_task_once() -> None:
    for _ in range(60):
        make_task("finished", ended_ago=2 * DAY)
    counts: list[int] = []

    def rival() -> None:
        try:
            while pruned := sum(lifecycle.prune("default", KEEP, limit=7).values()):
                counts.append(pruned)
        finally:
            connection.close()

    rivals = [threading.Thread(target=rival) for _ in range(3)]
    for thread in rivals:
        thread.start()
    for thread in rivals:
        thread.join()
    assert sum(counts) == 60
    assert Task.objects.count() == 0


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_locked_row_is_left_for_the_next_time_without_waiting() -> None:
    held, free = (make_task("finished", ended_ago=2 * DAY) for _ in range(2))
    results: list[Any] = []

    def prune() -> None:
        try:
            results.append(lifecycle.prune("default", KEEP)["finished"])
        finally:
            connection.close()

    with transaction.atomic():
        Task.objects.select_for_update().get(pk=held.pk)
        thread = threading.Thread(target=prune)
        thread.start()
        thread.join(HANG_SECONDS)
        assert results == [1]
    assert not Task.objects.filter(pk=free.pk).exists()
    assert lifecycle.prune("default", KEEP)["finished"] == 1
