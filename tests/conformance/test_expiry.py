"""A database starts no task after its time: claims and sweeps end it as cancelled, and say when."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from django_partisan import lifecycle
from django_partisan.attempt import EXPIRED, POSTPONED, RETRIED
from django_partisan.control import pause
from django_partisan.models import Attempt, Task
from django_partisan.processor import BaseTaskProcessor
from tests.support.factories import (
    OWNER,
    at_once,
    attempts_of,
    claim,
    claim_new,
    ended_attempt,
    enqueue,
    ids_of,
    record,
    record_and_claim,
    row_of,
    seconds_from_now,
    statuses,
    take_over,
)
from tests.support.processors import Earliest, Plain, Replacing, Unique, UniqueUntilFinish

pytestmark = pytest.mark.django_db


def overdue(*tasks: Task) -> None:
    """Let the time of tasks, or of all that may expire, be up."""
    rows = Task.objects.filter(pk__in=ids_of(tasks)) if tasks else Task.objects.all()
    moment = timezone.now() - timedelta(seconds=5)
    rows.exclude(expires_at=None).update(expires_at=moment)


def assert_expired(task: Any, number: int = 1) -> None:
    row = row_of(task)
    assert (row.status, row.manager_id, row.unique_key) == ("cancelled", None, None)
    assert seconds_from_now(row.finished_at) == pytest.approx(0, abs=5)
    [told] = attempts_of(row)
    assert (told.outcome, told.error_type, told.number) == ("cancelled", "TaskExpired", number)
    assert re.fullmatch(r"expired at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00", told.message)


@pytest.mark.parametrize("given", [60, 60.0, timedelta(minutes=1)])
def test_seconds_count_from_the_moment_at_which_the_task_is_due(given: Any) -> None:
    now, later = Plain().delay(expires=given), Plain(2).delay(expires=given, execute_after=600)
    [many] = Plain.delay_many([(3,)], expires=given, execute_after=600)
    past = Plain(4).delay(expires=given, execute_after=-600)
    for task, seconds in ((now, 60), (later, 660), (many, 660), (past, 60)):
        assert seconds_from_now(task.expires_at) == pytest.approx(seconds, abs=5)
        assert seconds_from_now(row_of(task).expires_at) == pytest.approx(seconds, abs=5)


def test_a_moment_is_kept_as_it_is_and_none_means_never() -> None:
    moment = timezone.now() + timedelta(hours=3)
    tasks = [Plain(1).delay(expires=moment), *Plain.delay_many([(2,)], expires=moment)]
    for task in tasks:
        assert abs((row_of(task).expires_at or moment) - moment) < timedelta(milliseconds=2)
        assert task.expires_at is not None
    assert Plain().delay().expires_at is None


def test_an_attribute_holds_for_all_tasks_and_gives_way_to_the_argument(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Plain, "EXPIRES_SECONDS", 30)
    assert seconds_from_now(Plain().delay().expires_at) == pytest.approx(30, abs=5)
    assert seconds_from_now(Plain().delay(expires=300).expires_at) == pytest.approx(300, abs=5)
    [many] = Plain.delay_many([(1,)])
    assert seconds_from_now(many.expires_at) == pytest.approx(30, abs=5)


@pytest.mark.parametrize("bad", [0, -1, True, "soon", float("nan"), 10**10, timedelta(0)])
def test_a_time_that_cannot_be_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="expires takes"):
        Plain().delay(expires=bad)
    assert not Task.objects.exists()


def test_an_expiry_before_the_task_is_due_is_refused() -> None:
    due = timezone.now() + timedelta(hours=2)
    with pytest.raises(ValueError, match="would never start"):
        Plain().delay(execute_after=due, expires=due - timedelta(hours=1))


@pytest.mark.parametrize("value", [0, -1, "1h", True])
def test_an_attribute_that_cannot_be_is_refused_when_the_class_is_made(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"Bad\.EXPIRES_SECONDS"):
        type("Bad", (BaseTaskProcessor,), {"EXPIRES_SECONDS": value, "run": lambda self: None})


# --- claims


def test_a_claim_takes_what_is_still_in_time_and_tells_how_long() -> None:
    Plain().delay(expires=60)
    began = time.monotonic()
    [task] = claim()
    assert task.starts_by is not None
    assert task.starts_by - began == pytest.approx(60, abs=5)


def test_a_claim_ends_what_has_expired_and_takes_the_others() -> None:
    lost = [*enqueue(2, expires=60, priority=1), Unique("a").delay(expires=60)]
    overdue()
    kept = Plain(9).delay(expires=60)
    claimed = claim()
    assert ids_of(claimed) == [kept.pk]
    assert {(each.id, each.status) for each in claimed.aside} == {
        (task.pk, "cancelled") for task in lost
    }
    for task in lost:
        assert_expired(task)
    assert (row_of(lost[0]).lease, row_of(lost[0]).attempts) == (0, 0)
    assert Unique("a").delay().pk != lost[-1].pk


def test_a_claim_with_a_record_ends_what_has_expired() -> None:
    [ended] = claim_new()
    [lost] = enqueue(expires=60)
    overdue()
    kept = Unique().delay()
    recorded, claimed = record_and_claim([ended_attempt(ended)], 5)
    assert (recorded, ids_of(claimed)) == ({ended.id}, [kept.pk])
    assert_expired(lost)


def test_what_expires_before_its_start_ends_uncharged_with_the_moment() -> None:
    Plain().delay(expires=60)
    [task] = claim()
    overdue()
    assert record(ended_attempt(task, EXPIRED, started=None, error=None)) == {task.id}
    assert_expired(task)
    assert row_of(task).attempts == 0
    assert row_of(task).started_at is None


@pytest.mark.parametrize("kind", [RETRIED, POSTPONED])
def test_the_moment_outlives_retries_and_postpones(kind: str) -> None:
    Plain().delay(expires=60)
    [task] = claim()
    before = row_of(task).expires_at
    record(ended_attempt(task, kind))
    assert row_of(task).expires_at == before
    overdue()
    assert claim() == []
    assert [told.error_type for told in attempts_of(task)][-1] == "TaskExpired"
    assert row_of(task).retries == (kind == RETRIED)


def test_who_takes_a_task_over_is_told_how_long_it_may_wait() -> None:
    enqueue(2, expires=60)
    claim()
    taken = take_over()
    assert all(task.starts_by is not None for task in taken)


def test_a_requeued_task_expires_no_more() -> None:
    [task] = enqueue(expires=60)
    overdue()
    assert lifecycle.expire() == [task.pk]
    assert lifecycle.requeue([task.pk]) == [task.pk]
    assert row_of(task).expires_at is None
    assert ids_of(claim()) == [task.pk]


# --- sweeps


def test_a_sweep_ends_what_has_expired_batch_by_batch_and_nothing_else() -> None:
    lost = enqueue(5, expires=60)
    future = Plain(6).delay(expires=60, execute_after=30)
    overdue()
    kept = [*enqueue(2), Plain(8).delay(expires=60)]
    first = lifecycle.expire(limit=4)
    assert len(first) == 4
    assert sorted([*first, *lifecycle.expire()]) == ids_of([*lost, future])
    assert lifecycle.expire() == []
    for task in (*lost, future):
        assert_expired(task)
    assert ids_of(claim()) == ids_of(kept)


def test_a_sweep_ends_held_tasks_as_well_and_leaves_what_runs() -> None:
    enqueue(1, expires=60)
    [running] = claim()
    [held] = enqueue(1, expires=60)
    pause(processor=Plain)
    assert row_of(held).held_by is not None
    overdue()
    assert lifecycle.expire() == [held.pk]
    assert row_of(held).held_by is None
    assert row_of(running).status == "in_process"


@pytest.mark.django_db(transaction=True)
def test_of_a_sweep_and_a_claim_each_task_is_ended_once() -> None:
    enqueue(60, expires=60)
    overdue()
    at_once(lifecycle.expire, partial(claim, 60), partial(claim, 60, owner=OWNER + 1))
    lifecycle.expire()
    assert statuses() == ["cancelled"] * 60
    assert Attempt.objects.count() == 60


# --- duplicates


@pytest.mark.parametrize("processor", [Unique, Replacing, Earliest, UniqueUntilFinish])
def test_an_expired_task_keeps_no_duplicate_out(processor: type[Unique]) -> None:
    lost = processor("a").delay(expires=60)
    overdue()
    again = processor("a").delay(expires=600)
    if processor is Replacing:
        assert again.pk == lost.pk
    else:
        assert again.pk != lost.pk
        assert again.was_duplicate is False
        assert_expired(lost)
    assert seconds_from_now(row_of(again).expires_at) == pytest.approx(600, abs=5)
    assert ids_of(claim()) == [again.pk]


def test_expired_tasks_keep_no_duplicates_out_of_a_batch() -> None:
    lost = Unique.delay_many([(number,) for number in range(4)], expires=60)
    overdue(*lost[:2])
    again = Unique.delay_many([(number,) for number in range(6)])
    assert [task.was_duplicate for task in again] == [False, False, True, True, False, False]
    assert ids_of(again[2:4]) == ids_of(lost[2:])
    for task in lost[:2]:
        assert_expired(task)


def test_a_duplicate_that_replaces_brings_its_own_expiry() -> None:
    first = Replacing("a").delay(expires=60)
    assert Replacing("a").delay().pk == first.pk
    assert row_of(first).expires_at is None
    Replacing.delay_many([("a",)], expires=300)
    assert seconds_from_now(row_of(first).expires_at) == pytest.approx(300, abs=5)


def test_a_duplicate_that_is_kept_or_brought_forward_keeps_the_expiry_of_the_waiting_task() -> None:
    for processor in (Unique, Earliest):
        first = processor("b").delay(expires=60, execute_after=1000)
        before = row_of(first).expires_at
        assert processor("b").delay(expires=9).pk == first.pk
        assert row_of(first).expires_at == before


def test_a_task_that_runs_beyond_its_time_still_keeps_duplicates_out() -> None:
    first = UniqueUntilFinish("a").delay(expires=60)
    claim()
    Task.objects.update(expires_at=F("created_at"))
    assert UniqueUntilFinish("a").delay().pk == first.pk
