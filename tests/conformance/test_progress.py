"""A database keeps what running tasks tell: the last of it, and only under the lease."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_partisan import lifecycle
from django_partisan.attempt import ClaimedTask, Interim
from django_partisan.models import Progress, Task
from tests.support.factories import (
    RIVAL,
    at_once,
    claim,
    claim_new,
    ended_attempt,
    finish,
    locked_by_a_stranger,
    record,
    rescue,
    row_of,
    seconds_from_now,
)

pytestmark = pytest.mark.django_db


def told_by(task: ClaimedTask, done: float | None = None, **more: Any) -> Interim:
    more.setdefault("at", time.monotonic())
    return Interim(task.id, task.lease, done=done, **more)


def write(*interims: Interim) -> set[int]:
    return lifecycle.write_interims(interims)


def test_the_last_that_each_task_has_told_is_kept() -> None:
    tasks = claim_new(3)
    assert write(*(told_by(task, 1.0, total=4.0, message="first") for task in tasks)) == {
        task.id for task in tasks
    }
    write(told_by(tasks[1], 3.5, total=4.0, message="zweites, größeres"), told_by(tasks[2], 5.0))
    first, second, third = (row_of(task).progress for task in tasks)
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.done, first.total, first.message, first.fraction) == (1, 4, "first", 0.25)
    assert (second.done, second.message, second.fraction) == (3.5, "zweites, größeres", 0.875)
    assert (third.done, third.total, third.message, third.fraction) == (5, None, "", None)


def test_a_moment_is_told_by_the_clock_of_the_database() -> None:
    [task] = claim_new()
    write(told_by(task, 1.0, at=time.monotonic() - 60))
    told = row_of(task).progress
    assert told is not None
    assert seconds_from_now(told.at) == pytest.approx(-60, abs=5)


def test_a_task_that_has_told_nothing_has_no_progress() -> None:
    [task] = claim_new()
    assert row_of(task).progress is None


def test_more_than_all_is_all_and_nothing_of_nothing_as_well() -> None:
    one, other = claim_new(2)
    write(told_by(one, 12.0, total=10.0), told_by(other, 0.0, total=0.0))
    for task in (one, other):
        told = row_of(task).progress
        assert told is not None
        assert told.fraction == 1.0


def test_nothing_is_written_under_a_lease_that_has_passed() -> None:
    [task] = claim_new()
    write(told_by(task, 1.0))
    rescue()
    assert write(told_by(task, 2.0, number=9, checkpoint="9")) == set()
    [again] = claim(owner=RIVAL)
    assert write(told_by(task, 2.0)) == set()
    assert write(told_by(again, 3.0)) == {task.id}
    told = row_of(task).progress
    assert told is not None
    assert told.done == 3
    assert lifecycle.stored_checkpoint(task.id) is None


def test_what_is_told_stays_after_the_end() -> None:
    [task] = claim_new()
    write(told_by(task, 10.0, total=10.0))
    finish(task)
    told = row_of(task).progress
    assert told is not None
    assert told.fraction == 1


def test_the_last_word_counts_when_the_worker_has_recorded_the_end_itself() -> None:
    [task] = claim_new()
    finish(task)
    assert write(told_by(task, 10.0)) == {task.id}


def test_a_deleted_task_leaves_nothing_behind() -> None:
    by_hand, by_the_orm, on_complete = claim_new(3)
    write(*(told_by(task, 1.0) for task in (by_hand, by_the_orm, on_complete)))
    record(ended_attempt(by_hand), ended_attempt(by_the_orm))
    told = {on_complete.id}
    end = [ended_attempt(on_complete)]
    lifecycle.record(end, delete_finished=True, max_rescues=3, tellers=told)
    assert not Task.objects.filter(pk=on_complete.id).exists()
    assert not Progress.objects.filter(pk=on_complete.id).exists()
    lifecycle.delete([by_hand.id])
    Task.objects.filter(pk=by_the_orm.id).delete()
    assert not Progress.objects.exists()
    assert write(told_by(on_complete, 2.0)) == set()


def test_a_task_that_is_deleted_by_a_later_owner_leaves_nothing_behind() -> None:
    [task] = claim_new()
    write(told_by(task, 1.0))
    rescue()
    [again] = claim()
    record(ended_attempt(again), delete_finished=True)
    assert not Progress.objects.exists()


def test_many_are_written_by_one_statement() -> None:
    tasks = claim_new(50)
    with CaptureQueriesContext(connection) as statements:
        assert len(write(*(told_by(task, 1.0) for task in tasks))) == 50
    assert len(statements) == 1


def test_a_finished_task_that_runs_again_has_told_nothing() -> None:
    [task] = claim_new()
    write(told_by(task, 1.0))
    finish(task)
    lifecycle.requeue([task.id])
    assert row_of(task).progress is None


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_whoever_has_locked_a_task_is_not_waited_for() -> None:
    free, locked = claim_new(2)
    with locked_by_a_stranger(locked.id):
        assert write(told_by(free, 1.0), told_by(locked, 1.0)) == {free.id}
        assert lifecycle.leases_held([told_by(locked, 1.0)]) == {locked.id}
    assert write(told_by(locked, 1.0)) == {locked.id}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_rivals_the_task_ends_up_with_one_of_both() -> None:
    [task] = claim_new()
    at_once(*(lambda done=done: write(told_by(task, done)) for done in (1.0, 2.0)))
    write(told_by(task, 3.0))
    told = row_of(task).progress
    assert told is not None
    assert told.done == 3


def test_a_plain_task_costs_not_one_statement_more() -> None:
    [task] = claim_new()
    with CaptureQueriesContext(connection) as statements:
        finish(task)
    assert not any(Progress._meta.db_table in statement["sql"] for statement in statements)
    with transaction.atomic():
        assert not Progress.objects.exists()
