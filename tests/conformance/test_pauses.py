"""A database takes nothing of what is paused, holds it aside, and frees it at the end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from django_partisan import lifecycle
from django_partisan.attempt import RELEASED, RETRIED
from django_partisan.control import pause, pauses, resume
from django_partisan.lifecycle.pauses import remove_passed
from django_partisan.models import Pause, Task
from tests.support.factories import (
    OWNER,
    RIVAL,
    at_once,
    claim,
    claim_new,
    ended_attempt,
    enqueue,
    ids_of,
    insert_in_bulk,
    record,
    record_and_claim,
    rescue,
    row_of,
    seconds_from_now,
    take_over,
)
from tests.support.processors import InOtherQueue, Plain, Unique

pytestmark = pytest.mark.django_db
PLAIN = "tests.support.processors.Plain"
KEPT = ("status", "lease", "attempts", "manager_id", "claimed_at", "unique_key", "unique_hash")


def held_by() -> list[int | None]:
    return list(Task.objects.order_by("pk").values_list("held_by", flat=True))


# --- queues


def test_nothing_is_claimed_of_a_paused_queue_nor_found_in_it() -> None:
    enqueue(2)
    other = InOtherQueue().delay()
    pause(queue_name="default")
    assert claim() == []
    assert lifecycle.survey(["default", "other"])["default"] == []
    assert ids_of(claim(queue="other")) == [other.pk]
    assert held_by() == [None] * 3, "they wait where they are"


def test_recording_goes_on_while_a_queue_is_paused() -> None:
    [task] = claim_new()
    enqueue(2)
    cursors = [found.cursor for found in lifecycle.survey(["default"])["default"]]
    pause(queue_name="default")
    call = lifecycle.record_and_claim([ended_attempt(task)], "default", 5, OWNER, cursors)
    assert call() == ({task.id}, [])


def test_a_resumed_queue_is_claimed_from_again() -> None:
    [task] = enqueue()
    pause(queue_name="default")
    assert resume(queue_name="default") is True
    assert resume(queue_name="default") is False
    assert ids_of(claim()) == [task.pk]


# --- processors


def test_the_waiting_tasks_of_a_paused_processor_are_held_at_once() -> None:
    plain = [*enqueue(3), Plain(7).delay(execute_after=3600, priority=1)]
    other = Unique().delay()
    row = pause(processor=Plain)
    assert held_by() == [row.pk] * len(plain) + [None]
    assert ids_of(claim()) == [other.pk]


def test_what_is_held_keeps_all_else_that_its_row_says() -> None:
    task = Unique("a").delay(priority=3)
    before = row_of(task)
    pause(processor=Unique)
    after = row_of(task)
    assert {name: getattr(after, name) for name in KEPT} == {
        name: getattr(before, name) for name in KEPT
    }
    assert (after.priority, after.execute_after) == (before.priority, before.execute_after)


def test_a_claim_moves_aside_what_came_since_and_takes_the_others() -> None:
    row = pause(processor=Plain)
    moved = enqueue(3, priority=1)
    unique = Unique().delay()
    claimed = claim()
    assert ids_of(claimed) == [unique.pk]
    assert sorted((each.id, each.status) for each in claimed.aside) == [
        (task.pk, "new") for task in moved
    ]
    assert claimed.met == 4
    assert held_by() == [row.pk] * 3 + [None]
    for task in moved:
        held = row_of(task)
        assert (held.lease, held.attempts, held.manager_id) == (0, 0, None)
    assert claim().met == 0


def test_what_is_moved_aside_counts_against_the_limit_of_a_claim() -> None:
    pause(processor=Plain)
    enqueue(5, priority=1)
    unique = Unique().delay()
    claims = [claim(2) for _ in range(3)]
    assert [each.met for each in claims] == [2, 2, 2]
    assert [ids_of(each) for each in claims] == [[], [], [unique.pk]]


def test_a_claim_with_a_record_moves_aside_as_well() -> None:
    [task] = claim_new()
    row = pause(processor=Plain)
    [moved] = enqueue()
    recorded, claimed = record_and_claim([ended_attempt(task)], 5)
    assert (recorded, list(claimed)) == ({task.id}, [])
    assert [each.id for each in claimed.aside] == [moved.pk]
    assert row_of(moved).held_by == row.pk


def test_tasks_stored_under_a_former_name_are_held_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from django_partisan.registry.registry import registry

    monkeypatch.setitem(registry._by_alias, "shop.Former", Plain)
    insert_in_bulk(2, processor_class="shop.Former")
    row = pause(processor=Plain)
    assert held_by() == [row.pk] * 2


def test_a_processor_that_this_code_does_not_have_is_paused_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    insert_in_bulk(1, processor_class="shop.Gone")
    with caplog.at_level(logging.WARNING):
        row = pause(processor="shop.Gone")
        pause(queue_name="defualt")
    assert held_by() == [row.pk]
    assert "no registered processor has this name" in caplog.text
    assert "did you mean 'default'?" in caplog.text


@pytest.mark.parametrize("count", [0, 1, 1_999, 2_000, 4_001])
def test_a_pause_reaches_every_waiting_task_however_many_there_are(count: int) -> None:
    insert_in_bulk(count, priority=2)
    Unique.delay_many([(number,) for number in range(10)])
    row = pause(processor=Plain)
    held = Task.objects.filter(held_by=row.pk)
    assert held.count() == count == held.filter(processor_class=PLAIN).count()
    assert resume(processor=Plain)
    assert not Task.objects.exclude(held_by=None).exists()


def test_what_comes_back_while_its_processor_is_paused_is_held_by_the_next_claim() -> None:
    tasks = claim_new(2)
    row = pause(processor=Plain)
    record(ended_attempt(tasks[0], RETRIED), ended_attempt(tasks[1], RELEASED))
    assert held_by() == [None, None]
    assert claim() == []
    assert held_by() == [row.pk] * 2
    assert [row_of(task).attempts for task in tasks] == [1, 0]


def test_a_held_task_can_be_cancelled_and_is_found_as_a_duplicate() -> None:
    task = Unique("a").delay()
    pause(processor=Unique)
    again = Unique("a").delay()
    assert (again.pk, again.was_duplicate) == (task.pk, True)
    assert task.cancel()
    assert (row_of(task).status, row_of(task).held_by) == ("cancelled", None)


# --- the end of a pause


def test_a_pause_ends_by_itself_and_a_claim_does_not_wait_for_anybody_to_note_it() -> None:
    [task] = enqueue()
    pause(queue_name="default", until=timedelta(hours=1))
    [row] = pauses()
    assert row.ends_in is not None
    assert row.ends_in.total_seconds() == pytest.approx(3600, abs=5)
    assert claim() == []
    Pause.objects.update(until=F("paused_at"))
    assert pauses() == []
    assert ids_of(claim()) == [task.pk]
    assert resume(queue_name="default") is False


def test_what_an_ended_pause_has_held_is_freed_once_and_nothing_else_is() -> None:
    enqueue(3)
    unique = Unique().delay()
    pause(processor=Plain)
    other = pause(processor=Unique)
    Pause.objects.filter(pk__lt=other.pk).update(until=F("paused_at"))
    assert [str(row) for row in remove_passed()] == [f"processor {PLAIN}"]
    assert lifecycle.free_held(2) == ["default"] * 2
    assert lifecycle.free_held() == ["default"]
    assert lifecycle.free_held() == []
    assert row_of(unique).held_by == other.pk
    assert len(claim()) == 3


def test_a_pause_in_a_transaction_that_rolls_back_has_never_been() -> None:
    enqueue()
    with transaction.atomic():
        pause(processor=Plain)
        transaction.set_rollback(True)
    assert pauses() == []
    assert len(claim()) == 1


def test_pausing_again_changes_reason_and_end_and_says_so() -> None:
    first = pause(queue_name="default", reason="a", by="ann")
    again = pause(queue_name="default", reason="b", by="bob", until=timedelta(hours=2))
    assert (first.was_paused, again.was_paused) == (False, True)
    assert (again.pk, again.paused_at) == (first.pk, first.paused_at)
    [row] = pauses()
    assert (row.reason, row.paused_by) == ("b", "bob")
    assert seconds_from_now(row.until) == pytest.approx(7200, abs=5)
    assert pause(queue_name="default").until is None


def test_a_pause_that_had_ended_before_begins_anew() -> None:
    first = pause(processor=Plain, until=timedelta(hours=1))
    Pause.objects.update(until=F("paused_at"))
    again = pause(processor=Plain)
    assert again.pk != first.pk
    assert again.was_paused is False


# --- owners that are gone


def test_a_rescue_puts_the_tasks_of_a_paused_queue_back_and_a_take_over_leaves_them() -> None:
    tasks = claim_new(2)
    pause(queue_name="default")
    assert take_over() == []
    assert rescue() == ids_of(tasks)
    assert claim() == []


def test_a_take_over_leaves_the_tasks_of_a_paused_processor() -> None:
    claim_new(2)
    unique = Unique().delay()
    claim()
    pause(processor=Plain)
    assert ids_of(take_over()) == [unique.pk]


def test_a_requeued_task_is_free_whatever_an_older_version_has_left() -> None:
    [task] = insert_in_bulk(1, status="finished", held_by=10**9)
    assert lifecycle.requeue([task.pk]) == [task.pk]
    assert len(claim()) == 1


# --- what is refused


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({}, TypeError, "either queue_name= or processor="),
        ({"queue_name": "a", "processor": "b"}, TypeError, "either queue_name= or processor="),
        ({"queue_name": ""}, ValueError, "1 to 50 characters"),
        ({"queue_name": "x" * 51}, ValueError, "1 to 50 characters"),
        ({"queue_name": "a\0"}, ValueError, "1 to 50 characters"),
        ({"queue_name": 7}, TypeError, "takes a name"),
        ({"processor": "x" * 256}, ValueError, "1 to 255 characters"),
        ({"queue_name": "a", "until": timedelta(0)}, ValueError, "more than 0"),
        ({"queue_name": "a", "until": timedelta(days=9999)}, ValueError, "ten years"),
        ({"queue_name": "a", "until": 7}, TypeError, "a datetime or a timedelta"),
        (
            {"queue_name": "a", "until": datetime(2000, 1, 1).astimezone()},
            ValueError,
            "has passed; give a later moment",
        ),
    ],
)
def test_what_cannot_be_paused_is_refused_in_words(
    arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        pause(**arguments)
    assert not Pause.objects.exists()


def test_a_moment_without_a_zone_is_refused(settings: Any) -> None:
    settings.USE_TZ = True
    with pytest.raises(ValueError, match="has no time zone"):
        pause(queue_name="a", until=datetime(2100, 1, 1))


# --- rivals


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("target", [{"queue_name": "default"}, {"processor": Plain}])
def test_no_claim_that_begins_after_a_pause_takes_anything(target: dict[str, Any]) -> None:
    insert_in_bulk(600)
    paused_at = float("inf")
    late: list[int] = []

    def take_all(owner: int) -> None:
        while True:
            began = time.monotonic()
            claimed = claim(7, owner=owner)
            if began > paused_at:
                late.extend(ids_of(claimed))
            if not claimed.met:
                return

    def stop() -> None:
        nonlocal paused_at
        pause(**target)
        paused_at = time.monotonic()

    at_once(partial(take_all, OWNER), partial(take_all, RIVAL), stop)
    assert late == []
    taken = Task.objects.filter(status="in_process")
    assert set(taken.values_list("lease", "attempts", "held_by")) <= {(1, 1, None)}
    left = Task.objects.filter(status="new")
    assert set(left.values_list("lease", "attempts")) <= {(0, 0)}
    resume(**target)
    assert len(claim(600)) == left.count() or not left.exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_pause_first", [True, False])
def test_a_pause_and_a_claim_of_the_same_rows_meet_in_both_orders(is_pause_first: bool) -> None:
    """Each begins while the other one's transaction is open: nobody waits, nothing is lost."""
    enqueue(5)
    verbs: dict[bool, Callable[[], Any]] = {True: lambda: pause(processor=Plain), False: claim}
    is_done, may_commit = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            verbs[is_pause_first]()
            is_done.set()
            may_commit.wait(30)

    def second() -> None:
        is_done.wait(30)
        try:
            verbs[not is_pause_first]()
        finally:
            may_commit.set()

    at_once(first, second)
    [row] = pauses()
    assert claim() == []
    states = set(Task.objects.values_list("status", "held_by"))
    assert states <= {("in_process", None), ("new", row.pk)}
    resume(processor=Plain)
    assert Task.objects.filter(status="in_process").count() + len(claim()) == 5


@pytest.mark.django_db(transaction=True)
def test_two_who_pause_the_same_at_once_make_one_pause() -> None:
    enqueue(10)
    if connection.vendor == "sqlite":
        pytest.skip("one writer at a time: there is no such race")
    rows = at_once(*[partial(pause, processor=Plain)] * 4)
    assert len({row.pk for row in rows}) == 1
    assert [row.was_paused for row in rows].count(False) == 1
    assert set(held_by()) == {rows[0].pk}
    assert timezone.is_aware(rows[0].paused_at)
