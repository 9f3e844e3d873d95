"""What 1.6.1 documented, held by the real command."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, NamedTuple

import psutil
import pytest
from django.db import connection

from django_partisan.config.const import ExitCode
from django_partisan.models import Attempt, Task
from tests.app.models import Ledger
from tests.app.partisan_tasks import (
    Fail,
    Note,
    NoteElsewhere,
    PostponeTwice,
    RetryWhenTold,
    Sleep,
    SucceedAtThird,
    Swell,
)
from tests.processes.conftest import StartManager
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, started, statuses


def test_tasks_run_by_priority_and_in_the_order_of_their_enqueueing(
    start_manager: StartManager, book: Book
) -> None:
    expected: list[int] = []
    for priority in (-5, 0, 10, 20):
        expected += book.enqueue(*[Note()] * 8, priority=priority)
    for priority in (20, 0, 10, -5):
        later = book.enqueue(*[Note()] * 8, priority=priority)
        place = expected.index(_first_after(expected, priority)) if priority < 20 else len(expected)
        expected[place:place] = later
    start_manager(queue={"WORKERS_COUNT": 1})
    wait_until(lambda: all_are(book.ids, "finished"))
    order = Ledger.objects.filter(note="started").order_by("pk").values_list("task_id", flat=True)
    assert list(order) == expected


def test_each_manager_serves_its_own_queue_alone(
    start_manager: StartManager, book: Book, settings: Any
) -> None:
    queues: dict[str, Any] = {"default": {"WORKERS_COUNT": 1}, "elsewhere": {"WORKERS_COUNT": 1}}
    settings.PARTISAN_CONFIG = queues
    here = book.enqueue(*[Note()] * 5)
    elsewhere = book.enqueue(*[NoteElsewhere()] * 5)
    manager = start_manager(
        queue_name="elsewhere",
        queue={"WORKERS_COUNT": 1},
        settings={"PARTISAN_CONFIG": queues},
    )
    wait_until(lambda: all_are(elsewhere, "finished"))
    assert "'elsewhere'" in manager.log
    assert manager.stop() == ExitCode.CLEAN
    assert statuses(here) == {"new": 5}
    assert not started(here)
    start_manager(queue={"WORKERS_COUNT": 1}, settings={"PARTISAN_CONFIG": queues})
    wait_until(lambda: all_are(here, "finished"))


def test_retried_and_postponed_tasks_run_again_and_count_apart(
    start_manager: StartManager, book: Book
) -> None:
    retried, postponed = book.enqueue(SucceedAtThird(), PostponeTwice())
    start_manager()
    wait_until(lambda: all_are(book.ids, "finished"))
    counters = ("attempts", "retries", "postpones", "rescues")
    assert Task.objects.values_list(*counters).get(pk=retried) == (3, 2, 0, 0)
    assert Task.objects.values_list(*counters).get(pk=postponed) == (1, 0, 2, 0)
    assert started(book.ids) == {retried: 3, postponed: 3}
    assert list(Attempt.objects.values_list("task_id", "number", "outcome")) == [
        (retried, 1, "retried"),
        (retried, 2, "retried"),
    ]


def test_an_error_and_a_processor_say_when_a_task_is_retried(
    start_manager: StartManager, book: Book
) -> None:
    ids = book.enqueue(RetryWhenTold())
    start_manager()
    wait_until(lambda: all_are(ids, "finished"))
    assert started(ids) == {ids[0]: 3}


def test_the_local_queue_is_kept_between_the_numbers_that_were_given(
    start_manager: StartManager, book: Book
) -> None:
    ids = book.enqueue(*[Sleep(0.1)] * 60)
    sizes = {"MIN_QUEUE_SIZE": 5, "MAX_QUEUE_SIZE": 12}
    start_manager(queue={"WORKERS_COUNT": 1, **sizes})
    wait_until(lambda: all_are(ids, "finished"))
    first, *others = _claims()
    assert first.size == 12, "MAX, since nothing waits"
    assert max(claim.after for claim in others) <= 12 + 1, "MAX, and the one that runs"
    refills = [claim.before for claim in others if claim.size > 2]
    assert max(refills) <= 5 + 1, "MIN, when a claim is about to begin"
    assert any(refills), "nor only when there is nothing left"
    assert len(others) < 30, "not for each task that ends"


def test_without_given_numbers_slow_tasks_are_left_to_idle_peers(
    start_manager: StartManager, book: Book
) -> None:
    ids = book.enqueue(*[Sleep(0.4)] * 16)
    start_manager(queue={"WORKERS_COUNT": 1})
    wait_until(lambda: all_are(ids, "finished"))
    claims, first_end = _claims(), Task.objects.order_by("finished_at")[0].finished_at
    assert max(claim.after for claim in claims) <= 10 + 1, "ten until the first one has ended"
    assert first_end is not None
    later = [claim.after for claim in claims if claim.moment > first_end]
    assert max(later) <= 4, "from then on what starts within a second"


def test_a_worker_is_replaced_after_its_share_of_tasks(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 2, "TASKS_PER_WORKER_INSTANCE": 5})
    book.enqueue(*[Note()] * 60)
    wait_until(lambda: all_are(book.ids, "finished"))
    shares = _tasks_by_worker()
    assert max(shares.values()) <= 5
    assert set(Task.objects.values_list("lease", "attempts")) == {(1, 1)}
    wait_until(lambda: len(manager.workers()) == 2)
    assert "killed" not in manager.log
    assert "replacing them slowly" not in manager.log


def test_a_worker_is_replaced_when_it_has_grown_too_large(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1, "WORKER_MAX_MEMORY_MB": 250})
    book.enqueue(*[Swell(300)] * 3)
    wait_until(lambda: all_are(book.ids, "finished"))
    assert sorted(_tasks_by_worker().values()) == [1, 1, 1]
    wait_until(lambda: [_is_small(worker) for worker in manager.workers()] == [True])


def test_finished_tasks_are_deleted_when_the_queue_says_so(
    start_manager: StartManager, book: Book
) -> None:
    book.is_deleting = True
    start_manager(queue={"DELETE_TASKS_ON_COMPLETE": True})
    notes = book.enqueue(*[Note()] * 30, SucceedAtThird())
    (failing,) = book.enqueue(Fail("for good"))
    wait_until(lambda: all_are([failing], "error") and not statuses(notes))
    assert list(Attempt.objects.values_list("task_id", flat=True)) == [failing]


@pytest.mark.postgresql
def test_a_manager_with_idle_workers_takes_one_connection(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue={"WORKERS_COUNT": 3})
    counts = [_connections_of_others() for _ in range(20)]
    assert set(counts) == {1}


def _is_small(worker: psutil.Process) -> bool:
    try:
        return bool(worker.memory_info().rss < 250 << 20)
    except psutil.Error:  # the one that has grown, and is gone
        return False


def _first_after(ids: list[int], priority: int) -> int:
    priorities = dict(Task.objects.values_list("pk", "priority"))
    return next(pk for pk in ids if priorities[pk] > priority)


class Claim(NamedTuple):
    """When how many tasks were claimed, and how many the manager had from then on."""

    moment: datetime
    size: int
    after: int

    @property
    def before(self) -> int:
        return self.after - self.size


def _claims() -> list[Claim]:
    """Return all claims in their order, as the rows of tasks that have ended tell of them."""
    moments = Counter(Task.objects.values_list("claimed_at", flat=True).order_by("claimed_at"))
    return [
        Claim(moment, size, _held(moment)) for moment, size in moments.items() if moment is not None
    ]


def _held(moment: datetime) -> int:
    return Task.objects.filter(claimed_at__lte=moment, finished_at__gt=moment).count()


def _tasks_by_worker() -> dict[int, int]:
    pids = list(Ledger.objects.filter(note="started").values_list("pid", flat=True))
    return {pid: pids.count(pid) for pid in pids}


def _connections_of_others() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        return int(cursor.fetchone()[0])
