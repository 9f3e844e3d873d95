"""A database can give orphans back, hand them to a successor, and requeue what has ended."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from django_partisan import lifecycle
from django_partisan.attempt import CRASHED, FAILED, ClaimedTask
from django_partisan.models import Task
from tests.support.factories import (
    MAX_RESCUES,
    OWNER,
    RIVAL,
    at_once,
    attempts_of,
    claim,
    claim_new,
    ended_attempt,
    enqueue,
    finish,
    ids_of,
    insert_in_bulk,
    record,
    rescue,
    row_of,
    seconds_from_now,
    statuses,
    take_over,
)
from tests.support.processors import InOtherQueue, Plain

pytestmark = pytest.mark.django_db


def started(tasks: list[ClaimedTask]) -> list[ClaimedTask]:
    lifecycle.mark_started(tasks)
    return tasks


def counters(task: ClaimedTask | int) -> dict[str, int]:
    row = row_of(task)
    names = ("lease", "attempts", "rescues", "crashes")
    return {name: getattr(row, name) for name in names}


def test_marking_a_task_as_started_writes_the_moment() -> None:
    [task] = started(claim_new())
    assert seconds_from_now(row_of(task).started_at) == pytest.approx(0, abs=2)


def test_marking_tasks_as_started_names_those_whose_lease_holds() -> None:
    held, stale, ended = claim_new(3)
    Task.objects.filter(pk=stale.id).update(lease=2)
    finish(ended)
    before = row_of(ended).started_at
    assert lifecycle.mark_started([held, stale, ended]) == {held.id}
    assert row_of(stale).started_at is None
    assert row_of(ended).started_at == before


def test_a_rescue_gives_an_orphan_that_never_started_back_uncharged() -> None:
    [task] = claim_new()
    assert rescue() == [task.id]
    assert row_of(task).status == "new"
    assert counters(task) == {"lease": 2, "attempts": 0, "rescues": 1, "crashes": 0}
    assert (row_of(task).manager_id, row_of(task).claimed_at) == (None, None)


def test_a_rescue_charges_an_orphan_that_had_started() -> None:
    [task] = started(claim_new())
    rescue()
    assert row_of(task).status == "new"
    assert counters(task) == {"lease": 2, "attempts": 1, "rescues": 1, "crashes": 1}
    assert row_of(task).started_at is None


def test_a_rescue_keeps_the_orphans_place_in_the_queue() -> None:
    [task] = claim_new()
    due = row_of(task).execute_after
    later = enqueue()[0]
    rescue()
    assert row_of(task).execute_after == due
    assert ids_of(claim()) == [task.id, later.id]


def test_a_rescue_is_told_with_its_reason() -> None:
    [task] = claim_new()
    rescue(reason="The manager here/4321 was silent for 30 s.")
    [attempt] = attempts_of(task)
    assert (attempt.outcome, attempt.number, attempt.lease) == ("rescued", 1, 1)
    assert attempt.error_type == "ManagerDied"
    assert attempt.message == "The manager here/4321 was silent for 30 s."
    assert attempt.duration_seconds is None


def test_a_rescue_leaves_the_tasks_of_the_living_alone() -> None:
    [orphan] = claim_new()
    [living] = claim_new(owner=RIVAL)
    assert rescue() == [orphan.id]
    assert row_of(living).status == "in_process"
    assert counters(living)["lease"] == 1


def test_a_rescue_leaves_everything_that_is_not_in_process_alone() -> None:
    for status in ("new", "finished", "error", "cancelled"):
        insert_in_bulk(1, status=status, manager_id=OWNER)
    assert rescue() == []


def test_a_rescue_takes_orphans_of_every_queue_but_no_more_than_its_limit() -> None:
    InOtherQueue().delay(priority=50)
    claim(queue="other")
    tasks = claim_new(3)
    assert rescue(limit=2) == ids_of(tasks[:2])
    assert len(rescue(limit=5)) == 2
    assert statuses() == ["new"] * 4


def test_late_outcomes_of_a_rescued_task_are_stale() -> None:
    [task] = claim_new()
    rescue()
    assert finish(task) == set()
    [again] = claim(owner=RIVAL)
    assert finish(task) == set()
    assert finish(again) == {task.id}


def test_a_task_that_crashes_once_more_than_the_cap_allows_ends_in_error() -> None:
    enqueue()
    for crash in range(1, MAX_RESCUES + 1):
        [task] = started(claim())
        rescue()
        assert (row_of(task).status, row_of(task).crashes) == ("new", crash)
    [task] = started(claim())
    assert rescue(reason="Killed by SIGSEGV.") == [task.id]
    row = row_of(task)
    assert (row.status, row.rescues, row.attempts) == ("error", 3, 4)
    assert row.finished_at is not None
    last = attempts_of(task)[-1]
    assert last.outcome == "failed"
    assert last.message == "Given up after 3 rescues: Killed by SIGSEGV."


def test_rescues_of_what_never_started_do_not_count_towards_the_cap() -> None:
    enqueue()
    for _ in range(MAX_RESCUES * 2):
        claim()
        rescue()
    [task] = claim()
    assert (task.rescues, task.crashes, task.attempts) == (MAX_RESCUES * 2, 0, 1)


def test_the_cap_holds_when_the_own_manager_records_the_crash() -> None:
    [task] = claim_new()
    Task.objects.update(crashes=MAX_RESCUES, rescues=MAX_RESCUES)
    task = task._replace(crashes=MAX_RESCUES, rescues=MAX_RESCUES)
    assert record(ended_attempt(task, CRASHED)) == {task.id}
    assert row_of(task).status == "error"
    assert attempts_of(task)[0].message.endswith("it went boom")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", [rescue, take_over])
def test_of_two_rivals_one_moves_each_orphan(verb: Any) -> None:
    tasks = claim_new(30)
    moved = [*at_once(verb, verb), verb()]
    ids = [item.id if isinstance(item, ClaimedTask) else item for part in moved for item in part]
    assert sorted(ids) == ids_of(tasks)
    assert set(Task.objects.values_list("lease", "rescues")) == {(2, 1)}


@pytest.mark.django_db(transaction=True)
def test_of_a_rescue_and_a_finish_one_wins_each_task() -> None:
    tasks = claim_new(40)
    ended_attempts = [ended_attempt(task) for task in tasks]
    rescued, finished = at_once(rescue, lambda: sorted(record(*ended_attempts)))
    rescued += rescue()
    assert sorted(rescued + finished) == ids_of(tasks)
    by_status = dict(Task.objects.values_list("pk", "status"))
    assert {pk for pk, status in by_status.items() if status == "finished"} == set(finished)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_an_orphan_locked_by_a_stranger_does_not_hold_up_the_rescue() -> None:
    first, second = claim_new(2)
    with transaction.atomic():
        list(Task.objects.select_for_update().filter(pk=first.id))
        assert at_once(rescue) == [[second.id]]
    assert rescue() == [first.id]


def test_taking_over_moves_the_lease_and_the_owner() -> None:
    [task] = claim_new()
    [adopted] = take_over()
    row = row_of(task)
    assert (row.status, row.manager_id) == ("in_process", RIVAL)
    assert counters(task) == {"lease": 2, "attempts": 1, "rescues": 1, "crashes": 0}
    assert row.started_at is None
    assert seconds_from_now(row.claimed_at) == pytest.approx(0, abs=2)
    assert adopted == task._replace(lease=2, rescues=1, due=adopted.due)


def test_taking_over_charges_a_task_that_had_started() -> None:
    [task] = started(claim_new())
    [adopted] = take_over()
    assert counters(task) == {"lease": 2, "attempts": 2, "rescues": 1, "crashes": 1}
    assert counters(task) == {name: getattr(adopted, name) for name in counters(task)}
    assert row_of(task).started_at is None


def test_only_the_new_lease_records_a_task_that_was_taken_over() -> None:
    [task] = claim_new()
    [adopted] = take_over()
    assert finish(task) == set()
    assert finish(adopted) == {task.id}


def test_tasks_are_taken_over_in_the_order_they_should_run() -> None:
    rows = [Plain().delay(priority=priority) for priority in (7, -2, 0)]
    claim()
    assert ids_of(take_over(limit=2)) == ids_of([rows[1], rows[2]])
    assert ids_of(take_over(limit=2)) == ids_of([rows[0]])


def test_taking_over_asks_for_one_queue_and_one_owner() -> None:
    claim_new(owner=33)
    InOtherQueue().delay()
    [other] = claim(queue="other")
    assert take_over() == []
    assert ids_of(take_over(queue="other")) == [other.id]


def test_taking_over_gives_up_on_a_task_past_the_cap() -> None:
    hopeless, fine = started(claim_new(2))
    Task.objects.filter(pk=hopeless.id).update(crashes=MAX_RESCUES)
    assert ids_of(take_over()) == [fine.id]
    assert row_of(hopeless).status == "error"
    assert attempts_of(hopeless)[0].outcome == "failed"


@pytest.mark.parametrize("status", ["error", "finished", "cancelled"])
def test_requeue_puts_a_terminal_task_back_as_if_it_were_new(status: str) -> None:
    [task] = claim_new()
    record(ended_attempt(task, FAILED, result='"old"'))
    Task.objects.update(status=status, retries=2, postpones=3, rescues=4, crashes=5)
    assert lifecycle.requeue([task.id]) == [task.id]
    row = row_of(task)
    assert (row.status, row.attempts, row.retries, row.postpones) == ("new", 0, 0, 0)
    assert (row.rescues, row.crashes, row.lease) == (0, 0, 1)
    assert row.claimed_at is row.started_at is row.finished_at is row.result is None
    assert seconds_from_now(row.execute_after) == pytest.approx(0, abs=2)
    assert len(attempts_of(task)) == 1
    assert ids_of(claim()) == [task.id]


def test_requeue_leaves_tasks_alone_that_have_not_ended() -> None:
    [held] = claim_new()
    [waiting] = enqueue(execute_after=60)
    before = list(Task.objects.order_by("pk").values())
    assert lifecycle.requeue([held.id, waiting.id, 987654]) == []
    assert list(Task.objects.order_by("pk").values()) == before


@pytest.mark.django_db(transaction=True)
def test_of_two_rivals_one_requeues_each_task() -> None:
    tasks = claim_new(20)
    record(*(ended_attempt(task, FAILED) for task in tasks))
    requeue = partial(lifecycle.requeue, ids_of(tasks))
    assert sorted(itertools.chain(*at_once(requeue, requeue))) == ids_of(tasks)
