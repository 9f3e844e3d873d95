"""ATOMIC tasks whose processes and connections are killed at any moment: effects exactly once."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from django.db import connection

from django_partisan.models import Task
from tests.app.models import Ledger
from tests.app.stopped_tasks import ForkAndFail, WriteTwice
from tests.processes.conftest import StartManager
from tests.support.harness import Manager, kill
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, statuses

TASKS, SECONDS = 400, 0.004
PATIENT = {"PARTISAN_MAX_RESCUES": 1000}


@pytest.fixture
def ids(book: Book) -> Iterator[list[int]]:
    """Return the ids of tasks; in the end each of them must have happened exactly once."""
    ids = book.enqueue(*[WriteTwice(SECONDS)] * TASKS)
    yield ids
    notes = Counter(Ledger.objects.values_list("task_id", "note"))
    assert notes == dict.fromkeys([(i, note) for i in ids for note in ("first", "second")], 1)
    leases = dict(Task.objects.values_list("pk", "lease"))
    assert all(row.lease == leases[row.task_id] for row in Ledger.objects.all())


def until_finished(ids: list[int], manager: Manager) -> None:
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)


def wait_a_moment(seconds: float) -> None:
    """Wait at random, about so long."""
    time.sleep(random.uniform(0, 2 * seconds))


def strike_until_finished(
    ids: list[int], manager: Manager, strike: Callable[[], int], *, hits: int, seconds: float
) -> None:
    """Strike about so far apart, until so many have hit, ten at least; then let the rest finish."""
    done = 0
    while done < hits and not all_are(ids, "finished"):
        wait_a_moment(seconds)
        done += strike()
    crashed, retried = (Task.objects.exclude(**{name: 0}) for name in ("crashes", "retries"))
    print(f"{done} hits, {crashed.count()} tasks crashed, {retried.count()} tasks retried")
    assert done >= 10
    until_finished(ids, manager)


def test_killed_workers_leave_the_effects_of_finished_tasks_alone(
    start_manager: StartManager, ids: list[int]
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 3}, settings=PATIENT)

    def kill_a_worker() -> int:
        last = manager.workers()[-1:]
        for worker in last:
            kill(worker.pid)
        return len(last)

    strike_until_finished(ids, manager, kill_a_worker, hits=60, seconds=0.04)


def test_killed_managers_leave_the_effects_of_finished_tasks_alone(
    start_manager: StartManager, ids: list[int]
) -> None:
    manager = start_manager(settings=PATIENT)
    for _ in range(4):
        wait_a_moment(0.3)
        manager.kill()
        manager = start_manager(settings=PATIENT)
    until_finished(ids, manager)
    print("rescued:", Task.objects.exclude(rescues=0).count())


@pytest.mark.postgresql
def test_lost_connections_leave_the_effects_of_finished_tasks_alone(
    start_manager: StartManager, ids: list[int]
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 3}, settings=PATIENT)
    strike_until_finished(ids, manager, _end_a_connection, hits=25, seconds=0.02)


def test_a_process_that_the_task_forks_ends_without_touching_its_transaction(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    ids = book.enqueue(*[ForkAndFail()] * 3)
    wait_until(lambda: all_are(ids, "error"), message=lambda: manager.log)
    assert not Ledger.objects.exists()


# An ATOMIC task on SQLite keeps everybody else from writing, so that nobody can cancel it.
@pytest.mark.postgresql
def test_a_task_that_is_stopped_leaves_no_effects(start_manager: StartManager, book: Book) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    (task_id,) = book.enqueue(WriteTwice(60))
    wait_until(lambda: statuses([task_id])["in_process"])
    wait_until(lambda: not manager.idle_workers())
    Task.objects.get(pk=task_id).cancel()
    wait_until(lambda: all_are([task_id], "cancelled"), message=lambda: manager.log)
    assert not Ledger.objects.exists()


def _end_a_connection() -> int:
    """End one connection of a worker, in the middle of whatever it does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state <> 'idle'"
            " AND datname = current_database() AND pid <> pg_backend_pid()"
            " AND (query ILIKE '%ledger%' OR query ILIKE '%savepoint%' OR query ILIKE 'commit%')"
            " ORDER BY random() LIMIT 1"
        )
        return len(cursor.fetchall())
