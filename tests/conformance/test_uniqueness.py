"""A database can keep duplicates out: while they wait or until they end, under any rivalry."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_partisan import lifecycle
from django_partisan.attempt import FAILED, RELEASED, RETRIED, ClaimedTask
from django_partisan.models import Task
from tests.support.factories import (
    at_once,
    claim,
    ended_attempt,
    finish,
    record,
    row_of,
    seconds_from_now,
    statuses,
)
from tests.support.helpers import HANG_SECONDS, command_environment, wait_until
from tests.support.processors import (
    Earliest,
    Plain,
    Replacing,
    ReplacingUntilFinish,
    Unique,
    UniqueUntilFinish,
)

pytestmark = pytest.mark.django_db

BACK_TO_NEW = ["retried", "postponed", "released", "crashed", "orphaned"]


def _running(processor: Plain) -> ClaimedTask:
    processor.delay()
    [task] = claim(1)
    return task


def test_a_duplicate_of_a_waiting_task_returns_that_task_unchanged() -> None:
    first = Unique(1, a=2, b=3).delay()
    again = Unique(1, b=3, a=2).delay(priority=-1, execute_after=99)
    assert again.pk == first.pk
    assert (again.priority, again.execute_after) == (10, first.execute_after)
    assert Task.objects.count() == 1


def test_other_arguments_and_other_processors_are_no_duplicates() -> None:
    for processor in (Unique(1), Unique("1"), Unique(x=1), Unique(1, 1), UniqueUntilFinish(1)):
        processor.delay()
    assert Task.objects.count() == 5


def test_a_processor_that_is_not_unique_is_enqueued_every_time() -> None:
    assert Plain(1).delay().pk != Plain(1).delay().pk


def test_a_duplicate_that_waits_for_a_later_moment_still_keeps_others_out() -> None:
    assert Unique().delay(execute_after=600).pk == Unique().delay().pk


def test_a_task_that_is_unique_until_start_may_be_enqueued_while_it_runs() -> None:
    running = _running(Unique())
    assert Unique().delay().pk != running.id
    assert statuses() == ["in_process", "new"]


def test_a_task_that_is_unique_until_finish_is_returned_while_it_runs() -> None:
    running = _running(UniqueUntilFinish())
    assert UniqueUntilFinish().delay().pk == running.id
    finish(running)
    assert UniqueUntilFinish().delay().pk != running.id


def test_an_error_ends_uniqueness_too() -> None:
    running = _running(UniqueUntilFinish())
    record(ended_attempt(running, FAILED))
    assert UniqueUntilFinish().delay().pk != running.id


@pytest.mark.parametrize("kind", BACK_TO_NEW)
def test_a_task_that_waits_again_regains_its_uniqueness(kind: str) -> None:
    running = _running(Unique())
    record(ended_attempt(running, kind))
    assert Unique().delay().pk == running.id


@pytest.mark.parametrize("kind", BACK_TO_NEW)
def test_a_task_that_is_unique_until_finish_stays_unique_when_it_waits_again(kind: str) -> None:
    running = _running(UniqueUntilFinish())
    record(ended_attempt(running, kind))
    assert UniqueUntilFinish().delay().pk == running.id


@pytest.mark.parametrize("kind", BACK_TO_NEW)
def test_a_task_whose_key_was_taken_meanwhile_waits_beside_its_duplicate(kind: str) -> None:
    running = _running(Unique())
    duplicate = Unique().delay()
    assert record(ended_attempt(running, kind)) == {running.id}
    assert statuses() == ["new", "new"]
    assert Unique().delay().pk == duplicate.pk


def test_of_two_duplicates_that_wait_again_together_one_is_unique() -> None:
    first = _running(Unique())
    second = _running(Unique())
    record(ended_attempt(first, RELEASED), ended_attempt(second, RELEASED))
    assert Task.objects.exclude(unique_key=None).count() == 1
    assert Unique().delay().pk == first.id


def test_a_requeued_task_regains_its_uniqueness_if_its_key_is_free() -> None:
    first, second = _running(Unique(1)), _running(Unique(2))
    record(ended_attempt(first, FAILED), ended_attempt(second, FAILED))
    rival = Unique(2).delay()
    lifecycle.requeue([first.id, second.id])
    assert Unique(1).delay().pk == first.id
    assert Unique(2).delay().pk == rival.pk
    assert Task.objects.filter(status="new").count() == 3


def test_replace_gives_the_waiting_task_the_new_time_and_priority() -> None:
    first = Replacing().delay()
    again = Replacing().delay(priority=-3, execute_after=60)
    assert (again.pk, again.priority) == (first.pk, -3)
    assert seconds_from_now(row_of(first).execute_after) == pytest.approx(60, abs=2)
    assert Task.objects.count() == 1


def test_replace_leaves_a_running_duplicate_as_it_is() -> None:
    running = _running(ReplacingUntilFinish())
    before = Task.objects.values().get(pk=running.id)
    assert ReplacingUntilFinish().delay(priority=1, execute_after=60).pk == running.id
    assert Task.objects.values().get(pk=running.id) == before


def test_earlier_brings_the_waiting_task_forward_and_keeps_its_priority() -> None:
    first = Earliest().delay(execute_after=600, priority=4)
    again = Earliest().delay(execute_after=60, priority=1)
    assert (again.pk, again.priority) == (first.pk, 4)
    assert seconds_from_now(again.execute_after) == pytest.approx(60, abs=2)


def test_earlier_never_puts_the_waiting_task_off() -> None:
    moment = timezone.now() + timedelta(seconds=30)
    first = Earliest().delay(execute_after=moment)
    again = Earliest().delay(execute_after=600)
    assert (again.pk, again.execute_after) == (first.pk, moment)


def test_rows_without_a_key_never_collide() -> None:
    for _ in range(3):
        finish(_running(Unique()))
    assert statuses() == ["finished"] * 3


@pytest.fixture
def crowd(transactional_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let no other test have so many connections meanwhile: a server gives out a hundred."""
    with (tmp_path_factory.getbasetemp().parent / "crowd").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
        wait_until(lambda: _sessions() <= 1)


@pytest.mark.usefixtures("crowd")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("processor", [Unique, Replacing, Earliest, UniqueUntilFinish])
def test_fifty_callers_at_once_enqueue_one_task(processor: type[Plain]) -> None:
    tasks = at_once(*[lambda: processor("same").delay()] * 50)
    assert Task.objects.count() == 1
    assert len({task.pk for task in tasks}) == 1


@pytest.mark.django_db(transaction=True)
def test_callers_in_transactions_of_their_own_enqueue_one_task() -> None:
    def enqueue_twice() -> int:
        with transaction.atomic():
            first = Unique("same").delay()
            assert Unique("same").delay().pk == first.pk
            return first.pk

    assert len(set(at_once(*[enqueue_twice] * 10))) == 1
    assert Task.objects.count() == 1


TEN_CALLS = """
import sys, django
django.setup()
from django_partisan import registry
with registry.registry.discovering():
    from tests.support.processors import Unique
print("ready", flush=True)
sys.stdin.readline()
print(len({Unique("same").delay().pk for _ in range(10)}))
"""


@pytest.mark.django_db(transaction=True)
def test_callers_in_separate_processes_enqueue_one_task() -> None:
    callers = [
        subprocess.Popen(
            [sys.executable, "-c", TEN_CALLS],
            env=command_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    for caller in callers:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "ready\n"
    for caller in callers:
        assert caller.stdin is not None
        caller.stdin.write("\n")
        caller.stdin.flush()
    answers = [caller.communicate(timeout=HANG_SECONDS)[0].strip() for caller in callers]
    assert answers == ["1"] * 5
    assert Task.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_enqueueing_while_the_duplicate_is_claimed_and_recorded_never_fails() -> None:
    def produce() -> None:
        for _ in range(40):
            Unique("same").delay()

    def consume(owner: int) -> None:
        for _ in range(40):
            for task in claim(1, owner=owner):
                retried = ended_attempt(task, RETRIED)
                # A rival that regains a key may hold the row for a moment.
                while not record(retried) and lifecycle.still_held([retried]):
                    pass

    at_once(produce, partial(consume, 1), partial(consume, 2))
    waiting = Task.objects.filter(status="new")
    assert waiting.exclude(unique_key=None).count() <= 1
    assert Task.objects.exclude(status="new").count() == 0


def _sessions() -> int:
    """Return how many sessions this database has: closed ones may need a moment to end."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend'"
        )
        return int(cursor.fetchone()[0])
