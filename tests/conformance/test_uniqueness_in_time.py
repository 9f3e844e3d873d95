"""Uniqueness by some arguments, for a time after the start, and of the last of several calls."""

from __future__ import annotations

import random
import time
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from django_partisan import lifecycle
from django_partisan.attempt import CANCELLED, CRASHED, FAILED, POSTPONED, RELEASED, RETRIED
from django_partisan.lifecycle.prune import delete_throttled
from django_partisan.models import Task
from django_partisan.settings import QueueSettings
from tests.support.factories import (
    at_once,
    claim,
    ended_attempt,
    finish,
    record,
    row_of,
    seconds_from_now,
)
from tests.support.processors import ByAccount, Debounced, Throttled, Unique

pytestmark = pytest.mark.django_db


class ReplacingByAccount(ByAccount):
    ON_DUPLICATE = "replace"


class EarliestByAccount(ByAccount):
    ON_DUPLICATE = "earlier"


class ThrottledUntilFinish(Throttled):
    UNIQUE_UNTIL = "finish"


@pytest.fixture(autouse=True)
def _registered() -> None:
    from django_partisan import registry

    for each in (ReplacingByAccount, EarliestByAccount, ThrottledUntilFinish):
        if not registry.registry.is_processor_registered(registry.registry.stored_name(each)):
            registry.register(each)


def arguments_of(task: Task) -> list[Any]:
    args: list[Any] = row_of(task).arguments["args"]
    return args


def pass_time(seconds: float) -> None:
    """Let everything have happened so much earlier."""
    moments = ("created_at", "execute_after", "started_at", "claimed_at", "debounce_until")
    ago = timedelta(seconds=seconds)
    for task in Task.objects.all():
        values = {n: v - ago for n in moments if (v := getattr(task, n)) is not None}
        Task.objects.filter(pk=task.pk).update(**values)


# ----- by some arguments


def test_only_the_arguments_of_the_key_count() -> None:
    first = ByAccount(5, "a").delay()
    again = ByAccount(5, "b").delay()
    assert (again.pk, again.was_duplicate, arguments_of(again)) == (first.pk, True, [5, "a"])
    named = ByAccount(account=5, note="a").delay()
    assert named.pk != first.pk
    assert ByAccount(account=5, note="b").delay().pk == named.pk
    assert not ByAccount(6, "a").delay().was_duplicate


def test_what_is_replaced_has_the_arguments_of_the_last_call() -> None:
    first = ReplacingByAccount(5, "a").delay(execute_after=60)
    again = ReplacingByAccount(5, "b").delay()
    assert (again.pk, again.was_duplicate) == (first.pk, True)
    assert arguments_of(first) == again.arguments["args"] == [5, "b"]
    [many, _] = ReplacingByAccount.delay_many([(5, "c"), (5, "d")])
    assert many.pk == first.pk
    assert arguments_of(first) == [5, "d"]


@pytest.mark.parametrize("processor", [ByAccount, EarliestByAccount])
def test_what_is_kept_has_the_arguments_of_the_first_call(processor: type[ByAccount]) -> None:
    tasks = processor.delay_many([(5, "a"), (6, "b"), (5, "c")])
    assert [task.was_duplicate for task in tasks] == [False, False, True]
    assert tasks[0].pk == tasks[2].pk < tasks[1].pk
    assert arguments_of(processor(5, "d").delay()) == [5, "a"]


# ----- throttle


@pytest.mark.parametrize("kind", ["finished", FAILED, CANCELLED])
def test_a_throttled_task_keeps_duplicates_out_whatever_its_end(kind: str) -> None:
    first = Throttled().delay()
    [task] = claim()
    assert Throttled().delay().pk == first.pk
    record(ended_attempt(task, kind))
    again = Throttled().delay()
    assert (again.pk, again.was_duplicate, again.status) == (first.pk, True, row_of(first).status)
    [many] = Throttled.delay_many([()])
    assert (many.pk, many.was_duplicate) == (first.pk, True)


@pytest.mark.parametrize("is_batch", [False, True])
def test_a_throttle_ends_so_long_after_the_start(is_batch: bool) -> None:
    def enqueue() -> Task:
        return Throttled.delay_many([("other",), ()])[1] if is_batch else Throttled().delay()

    first = enqueue()
    for task in claim():
        record(ended_attempt(task, started=time.monotonic() - 1800))
    pass_time(1790)
    assert enqueue().pk == first.pk
    pass_time(20)
    again = enqueue()
    assert (again.pk != first.pk, again.was_duplicate) == (True, False)
    assert enqueue().pk == again.pk
    assert row_of(first).unique_key is None


def test_a_throttle_counts_from_the_start_and_not_from_the_call() -> None:
    first = Throttled().delay()
    pass_time(100_000)
    assert Throttled().delay().pk == first.pk
    [task] = claim()
    finish(task)
    assert Throttled().delay().pk == first.pk


@pytest.mark.parametrize(
    ("processor", "is_kept_out"), [(Throttled, False), (ThrottledUntilFinish, True)]
)
def test_a_throttle_may_end_before_the_task(processor: type[Throttled], is_kept_out: bool) -> None:
    processor().delay()
    [task] = claim()
    pass_time(3700)
    assert processor().delay().was_duplicate is is_kept_out
    finish(task)
    assert processor().delay().pk != task.id or is_kept_out


def test_a_throttled_task_that_never_started_keeps_nothing_out() -> None:
    Throttled().delay().cancel()
    assert not Throttled().delay().was_duplicate


@pytest.mark.parametrize("kind", [RETRIED, POSTPONED, RELEASED, CRASHED])
def test_a_throttled_task_that_waits_again_keeps_duplicates_out(kind: str) -> None:
    first = Throttled().delay()
    [task] = claim()
    record(ended_attempt(task, kind))
    pass_time(7200)
    assert Throttled().delay().pk == first.pk


@pytest.mark.parametrize("is_batch", [False, True])
def test_a_class_that_throttles_no_more_is_not_held_up_for_ever_by_its_former_tasks(
    monkeypatch: pytest.MonkeyPatch, is_batch: bool
) -> None:
    first = Throttled().delay()
    [task] = claim()
    finish(task)
    monkeypatch.setattr(Throttled, "UNIQUE_FOR_SECONDS", None)
    assert Throttled().delay().pk == first.pk
    pass_time(3700)
    [fresh] = Throttled.delay_many([()]) if is_batch else [Throttled().delay()]
    assert (fresh.was_duplicate, fresh.unique_for_seconds) == (False, None)


def test_a_throttled_task_outlives_its_deletion_and_its_retention() -> None:
    first = Throttled().delay()
    Unique().delay()
    assert len(record(*map(ended_attempt, claim()), delete_finished=True)) == 2
    assert [task.pk for task in Task.objects.all()] == [first.pk]
    settings = QueueSettings(KEEP_FINISHED_SECONDS=0)
    assert lifecycle.prune("default", settings)["finished"] == 0
    assert lifecycle.delete_completed([first.pk]).deleted == []
    assert delete_throttled("default") == 0
    assert Throttled().delay().pk == first.pk
    pass_time(3700)
    assert lifecycle.count_prunable("default", settings)["finished"] == 1
    assert delete_throttled("other") == 0
    assert delete_throttled("default") == 1


def test_a_chain_of_a_throttled_processor_goes_on() -> None:
    Throttled().delay(repeat=60)
    [task] = claim()
    finish(task)
    assert Task.objects.filter(status="new").count() == 1
    assert not Throttled().delay().was_duplicate


# ----- debounce


def test_the_last_call_wins_and_puts_the_task_off() -> None:
    first = Debounced("a", 1).delay(priority=5)
    assert seconds_from_now(first.execute_after) == pytest.approx(10, abs=5)
    pass_time(8)
    again = Debounced("a", 2).delay()
    assert (again.pk, again.was_duplicate, again.priority) == (first.pk, True, 10)
    assert again.arguments["args"] == ["a", 2]
    assert seconds_from_now(again.execute_after) == pytest.approx(10, abs=5)
    assert Debounced("b").delay().pk != first.pk


def test_no_call_puts_a_task_off_for_longer_than_the_most() -> None:
    first = Debounced("a").delay()
    for _ in range(7):
        pass_time(8)
        assert Debounced("a").delay().pk == first.pk
    row = row_of(first)
    assert row.execute_after - row.created_at == timedelta(seconds=60)
    assert row.execute_after == row.debounce_until


def test_the_most_is_ten_times_as_much_where_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Debounced, "DEBOUNCE_MAX_SECONDS", None)
    task = Debounced("a").delay()
    row = row_of(task)
    assert row.debounce_until == row.created_at + timedelta(seconds=100) == task.debounce_until


def test_a_task_that_was_claimed_is_not_changed_and_a_new_one_is_stored() -> None:
    first = Debounced("a", 1).delay()
    pass_time(11)
    [task] = claim()
    again = Debounced("a", 2).delay()
    assert (again.pk != first.pk, again.was_duplicate) == (True, False)
    assert arguments_of(first) == ["a", 1]
    finish(task)
    assert seconds_from_now(again.debounce_until) == pytest.approx(60, abs=5)


def test_a_task_that_waits_for_a_retry_takes_the_last_arguments_and_keeps_its_time() -> None:
    first = Debounced("a", 1).delay()
    pass_time(11)
    [task] = claim()
    record(ended_attempt(task, RETRIED, delay_seconds=300.0))
    again = Debounced("a", 2).delay()
    assert again.pk == first.pk
    assert arguments_of(first) == ["a", 2]
    assert seconds_from_now(again.execute_after) == pytest.approx(300, abs=20)


def test_the_last_of_a_batch_wins() -> None:
    waiting = Debounced("a", 0).delay()
    tasks = Debounced.delay_many([("a", 1), ("b", 1), ("b", 2), ("a", 2)])
    assert [task.was_duplicate for task in tasks] == [True, False, True, True]
    assert arguments_of(waiting) == ["a", 2]
    assert arguments_of(tasks[1]) == ["b", 2]
    row = row_of(tasks[1])
    assert row.debounce_until == tasks[1].debounce_until == row.created_at + timedelta(seconds=60)


def test_one_statement_debounces(django_assert_max_num_queries: Any) -> None:
    Debounced("a").delay()
    # Where an upsert does not tell what it did, there are two; the last one reads the task.
    most = 2 if connection.vendor == "postgresql" else 3
    with django_assert_max_num_queries(most):
        Debounced("a").delay()


# ----- rivals


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("processor", [ByAccount, ReplacingByAccount, Throttled, Debounced])
def test_many_callers_at_once_store_one_task(processor: type[Unique]) -> None:
    tasks = at_once(*[partial(_delay, processor, ["same"]) for _ in range(20)])
    assert Task.objects.count() == 1
    assert len({task.pk for task in tasks}) == 1
    assert sum(not task.was_duplicate for task in tasks) == 1


def _delay(processor: type[Unique], args: list[Any]) -> Task:
    return processor(*args).delay()


@pytest.mark.django_db(transaction=True)
def test_no_last_call_is_lost_when_a_claim_comes_in_between() -> None:
    """Each call either changes the task that waits, or stores a new one: never one that runs."""
    ran: list[int] = []

    def call(caller: int) -> None:
        for number in range(25):
            Debounced("same", caller * 100 + number).delay()

    def work() -> None:
        for _ in range(40):
            Task.objects.filter(status="new").update(execute_after=F("created_at"))
            for task in claim():
                ran.append(row_of(task).arguments["args"][1])
                finish(task)

    at_once(*[partial(call, caller) for caller in range(3)], work)
    waiting = Task.objects.filter(status="new")
    assert waiting.count() <= 1
    ran += [task.arguments["args"][1] for task in waiting]
    lasts = {24, 124, 224}
    assert ran[-1] in lasts, "what was called last ran last"
    assert Task.objects.filter(status="finished").count() == len(ran) - waiting.count()


@pytest.mark.django_db(transaction=True)
def test_a_throttle_that_ends_lets_one_of_many_callers_in() -> None:
    first = Throttled("same").delay()
    [task] = claim()
    finish(task)
    pass_time(3700)
    tasks = at_once(*[partial(_delay, Throttled, ["same"])] * 10)
    assert len({each.pk for each in tasks}) == 1
    assert tasks[0].pk != first.pk
    assert sum(not each.was_duplicate for each in tasks) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_transactions_that_replace_crosswise_end_in_an_error_and_not_in_a_hang() -> None:
    ReplacingByAccount.delay_many([("a", 0), ("b", 0)])

    def replace(order: list[str]) -> str:
        try:
            with transaction.atomic():
                for name in order:
                    ReplacingByAccount(name, "".join(order)).delay()
                    time.sleep(0.2)
        except OperationalError:
            return "deadlock"
        return "done"

    ends = at_once(partial(replace, ["a", "b"]), partial(replace, ["b", "a"]))
    assert sorted(ends) == ["deadlock", "done"]
    notes = {task.arguments["args"][1] for task in Task.objects.all()}
    assert notes in ({"ab"}, {"ba"})


@pytest.mark.django_db(transaction=True)
def test_batches_that_replace_crosswise_never_wait_for_each_other() -> None:
    def replace(note: str) -> None:
        for _ in range(20):
            items = [(name, note) for name in "abcdef"]
            random.shuffle(items)
            ReplacingByAccount.delay_many(items)
            Debounced.delay_many(items)

    at_once(partial(replace, "x"), partial(replace, "y"))
    assert Task.objects.count() == 12
    assert timezone.now() > Task.objects.earliest("created_at").created_at
