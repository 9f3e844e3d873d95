"""A database can hand out due tasks: in order, each once, and never those of another queue."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from django_partisan import lifecycle
from django_partisan.database.values import Claimed, Cursor
from django_partisan.manager.claiming.cursors import Cursors
from django_partisan.models import Task
from tests.support.factories import (
    OWNER,
    at_once,
    claim,
    claim_new,
    enqueue,
    finish,
    ids_of,
    insert_in_bulk,
    row_of,
    seconds_from_now,
    statuses,
)
from tests.support.processors import InOtherQueue, Plain, Unique, UniqueUntilFinish

pytestmark = pytest.mark.django_db


def test_a_claim_writes_owner_lease_moment_and_attempt_together() -> None:
    enqueue()
    [task] = claim(owner=OWNER)
    row = row_of(task)
    assert (row.status, row.manager_id, row.lease, row.attempts) == ("in_process", OWNER, 1, 1)
    assert seconds_from_now(row.claimed_at) == pytest.approx(0, abs=2)
    assert row.updated_at == row.claimed_at
    assert row.started_at is row.finished_at is None


def test_a_claim_carries_what_a_worker_needs_to_know() -> None:
    row = Plain("ü", x=[1, None]).delay(priority=-4)
    [task] = claim()
    assert (task.id, task.lease, task.processor_class) == (row.id, 1, row.processor_class)
    assert json.loads(task.arguments) == {"args": ["ü"], "kwargs": {"x": [1, None]}}
    assert (task.queue_name, task.priority, task.attempts) == ("default", -4, 1)
    assert (task.retries, task.postpones, task.rescues, task.crashes) == (0, 0, 0, 0)


def test_a_lower_priority_number_is_claimed_first_and_zero_and_negatives_are_real() -> None:
    for priority in (10, 0, -5, 7, 2**31 - 1, -(2**31)):
        Plain().delay(priority=priority)
    assert [task.priority for task in claim()] == [-(2**31), -5, 0, 7, 10, 2**31 - 1]


def test_within_a_priority_the_task_that_was_due_first_is_claimed_first() -> None:
    late, early, middle = (Plain().delay(execute_after=-seconds) for seconds in (1, 300, 20))
    assert ids_of(claim()) == ids_of([early, middle, late])


def test_tasks_due_at_the_same_moment_are_claimed_by_id() -> None:
    moment = timezone.now() - timedelta(seconds=5)
    tasks = [Plain(number).delay(execute_after=moment) for number in range(5)]
    assert ids_of(claim()) == ids_of(tasks)


def test_a_limited_claim_takes_the_head_of_the_order() -> None:
    tasks = [Plain().delay(priority=priority) for priority in (3, 1, 2)]
    assert ids_of(claim(2)) == ids_of([tasks[1], tasks[2]])
    assert ids_of(claim(2)) == ids_of([tasks[0]])


def test_a_claim_with_limit_zero_takes_nothing() -> None:
    enqueue(2)
    assert claim(0) == []
    assert statuses() == ["new", "new"]


def test_a_future_task_is_not_claimed_whatever_its_priority() -> None:
    Plain().delay(priority=-100, execute_after=60)
    due = Plain().delay()
    assert ids_of(claim()) == [due.id]


def test_a_claim_leaves_other_queues_alone() -> None:
    enqueue(2)
    other = InOtherQueue().delay()
    assert ids_of(claim(queue="other")) == [other.id]
    assert claim(queue="nowhere") == []
    assert statuses() == ["new", "new", "in_process"]


def test_only_new_tasks_are_claimed() -> None:
    for status in ("in_process", "error", "finished", "cancelled"):
        insert_in_bulk(1, status=status)
    assert claim() == []


def test_a_claim_frees_the_key_of_a_task_that_is_unique_until_it_starts() -> None:
    until_start, until_finish = Unique().delay(), UniqueUntilFinish().delay()
    claim()
    assert row_of(until_start).unique_key is None
    assert row_of(until_start).unique_hash is not None
    assert row_of(until_finish).unique_key == row_of(until_finish).unique_hash is not None


def test_a_claim_forgets_that_an_earlier_attempt_had_started() -> None:
    insert_in_bulk(1, started_at=timezone.now() - timedelta(hours=1))
    [task] = claim()
    assert row_of(task).started_at is None


def test_a_lease_grows_with_every_claim() -> None:
    [task] = claim_new()
    Task.objects.filter(pk=task.id).update(status="new")
    [again] = claim()
    assert (task.lease, again.lease, again.attempts) == (1, 2, 2)


@pytest.mark.django_db(transaction=True)
def test_eight_rivals_claim_each_task_once_and_never_more_than_their_limit() -> None:
    insert_in_bulk(400)

    def take_all(owner: int) -> list[Claimed]:
        batches = []
        while batch := claim(7, owner=owner):
            batches.append(batch)
        return batches

    per_owner = at_once(*(partial(take_all, owner) for owner in range(1, 9)))
    batches = [batch for batches in per_owner for batch in batches]
    claimed = [task.id for batch in batches for task in batch]
    assert len(claimed) == len(set(claimed)) == 400
    assert max(map(len, batches)) <= 7
    for owner, own in enumerate(per_owner, start=1):
        mine = {task.id for batch in own for task in batch}
        assert set(Task.objects.filter(manager_id=owner).values_list("pk", flat=True)) == mine
    assert set(Task.objects.values_list("lease", "attempts")) == {(1, 1)}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_row_that_a_stranger_has_locked_is_passed_over_by_a_claim() -> None:
    first, second = enqueue(2)
    with transaction.atomic():
        list(Task.objects.select_for_update().filter(pk=first.pk))
        [claimed] = at_once(claim)
    assert ids_of(claimed) == [second.id]


def _waits() -> dict[int, Any]:
    """Survey the queue: by priority, whether a task is due, and the seconds until the next."""
    found = lifecycle.survey(["default"])["default"]
    assert [each.cursor.priority for each in found] == sorted(
        each.cursor.priority for each in found
    )
    return {each.cursor.priority: (each.has_due, each.next_due_in) for each in found}


def test_a_survey_finds_nothing_in_an_empty_queue() -> None:
    InOtherQueue().delay()
    finish(claim_new()[0])
    assert lifecycle.survey(["default"])["default"] == []


def test_a_survey_tells_for_every_priority_what_is_due_and_how_long_to_wait_for_more() -> None:
    Plain().delay(priority=1, execute_after=500)
    Plain(2).delay(priority=1, execute_after=300)
    Plain().delay(priority=50, execute_after=30)
    Plain(2).delay(priority=50)
    Plain().delay(priority=-5)
    assert _waits() == {
        -5: (True, None),
        1: (False, pytest.approx(300, abs=2)),
        50: (True, pytest.approx(30, abs=2)),
    }


def test_a_survey_overlooks_tasks_that_do_not_wait() -> None:
    insert_in_bulk(1, status="cancelled", execute_after=timezone.now() + timedelta(seconds=10))
    Plain().delay(execute_after=40)
    assert _waits() == {10: (False, pytest.approx(40, abs=2))}


def test_a_claim_looks_at_the_given_cursors_only_and_in_their_order() -> None:
    enqueue(2, priority=1)
    Plain(7).delay(priority=2)
    Plain(8).delay(priority=3)
    claimed = lifecycle.claim("default", 10, OWNER, [Cursor(1), Cursor(3)])
    assert [task.priority for task in claimed] == [1, 1, 3]


def test_a_claim_without_cursors_takes_nothing() -> None:
    enqueue()
    assert lifecycle.claim("default", 10, OWNER, []) == []


@pytest.mark.postgresql
def test_a_claim_starts_behind_the_cursor_and_the_cursor_ends_at_its_last_task() -> None:
    tasks = enqueue(3)
    cursors = Cursors()
    cursors.surveyed(lifecycle.survey(["default"])["default"], 0, 0)
    cursors.claimed(lifecycle.claim("default", 1, OWNER, cursors.current()))
    Task.objects.filter(pk=tasks[0].pk).update(status="new")
    rest = lifecycle.claim("default", 10, OWNER, cursors.current())
    assert ids_of(rest) == ids_of(tasks[1:]), "what came back behind the cursor waits for a survey"
    cursors.surveyed(lifecycle.survey(["default"])["default"], 0, 0)
    assert ids_of(lifecycle.claim("default", 10, OWNER, cursors.current())) == [tasks[0].id]


@pytest.mark.postgresql
def test_a_cursor_tells_tasks_of_the_same_moment_apart() -> None:
    moment = timezone.now()
    rows = insert_in_bulk(5, execute_after=moment)
    cursors = Cursors()
    cursors.surveyed(lifecycle.survey(["default"])["default"], 0, 0)
    taken = []
    for _ in range(3):
        claimed = lifecycle.claim("default", 2, OWNER, cursors.current())
        cursors.claimed(claimed)
        taken += ids_of(claimed)
    assert taken == sorted(row.pk for row in rows)


def test_a_priority_of_future_tasks_lets_new_ones_through() -> None:
    Plain().delay(execute_after=500)
    cursors = Cursors()
    cursors.surveyed(lifecycle.survey(["default"])["default"], 0, 0)
    task = Plain(2).delay()
    assert ids_of(lifecycle.claim("default", 10, OWNER, cursors.current())) == [task.id]
