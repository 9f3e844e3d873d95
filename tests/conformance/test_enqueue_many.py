"""A database can store a whole batch: in order, all or nothing, duplicates kept out."""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_partisan import lifecycle
from django_partisan.attempt import RELEASED
from django_partisan.config.moments import with_zone
from django_partisan.database import Dialect, dialect_for
from django_partisan.exceptions import DuplicateNotVisible
from django_partisan.lifecycle import notifications
from django_partisan.models import Task
from tests.support.factories import (
    at_once,
    claim,
    ended_attempt,
    ids_of,
    record,
    row_of,
    seconds_from_now,
    statuses,
)
from tests.support.processors import (
    Earliest,
    InOtherQueue,
    Plain,
    Replacing,
    ReplacingUntilFinish,
    Unique,
    UniqueUntilFinish,
)

# By its path: the package has a verb of this name.
module = import_module("django_partisan.lifecycle.enqueue_many")

pytestmark = pytest.mark.django_db

ODD = ["ключ", "💥", "'; DROP TABLE x; --", "%s %% %(x)s", '\\"{[,]}', 1.5, 2**80, None, {"": []}]
KINDS = [Plain, Unique, UniqueUntilFinish, Replacing, InOtherQueue]


def _columns(task: Task) -> dict[str, Any]:
    return {field.attname: getattr(task, field.attname) for field in Task._meta.concrete_fields}


def _numbers(tasks: list[Task]) -> list[Any]:
    return [task.arguments["args"][0] for task in tasks]


@contextmanager
def _chunks_of(monkeypatch: pytest.MonkeyPatch, rows: int) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(module, "CHUNK_ROWS", rows)
        yield


# --- the rows, and what is returned


@pytest.mark.parametrize("processor", KINDS)
@pytest.mark.parametrize("chunk", [2, 100])
def test_the_tasks_that_delay_many_returns_are_the_rows_in_the_database(
    processor: type[Plain], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _chunks_of(monkeypatch, chunk):
        tasks = processor.delay_many([(1, "ä"), processor(2, n=[1]), [3], ()])
    assert [_columns(task) for task in tasks] == [_columns(row_of(task)) for task in tasks]
    assert {task._state.db for task in tasks} == {"default"}
    assert not any(task._state.adding for task in tasks)


@pytest.mark.parametrize("processor", KINDS)
def test_a_task_of_a_batch_is_as_one_that_delay_stores(processor: type[Plain]) -> None:
    alone = _columns(processor("x", y=2).delay(priority=4, execute_after=timedelta(hours=1)))
    Task.objects.all().delete()
    [task] = processor.delay_many([processor("x", y=2)], priority=4, execute_after=3600)
    moments = {"created_at", "updated_at", "execute_after"}
    differ = {name for name, value in _columns(task).items() if value != alone[name]}
    assert differ - moments == {"id"}
    assert seconds_from_now(task.execute_after) == pytest.approx(3600, abs=2)
    assert seconds_from_now(task.created_at) == pytest.approx(0, abs=2)


def test_a_task_of_a_batch_can_be_changed_and_saved() -> None:
    first, second = Plain.delay_many([(1,), (2,)])
    first.extra["note"] = "mine"
    first.save()
    assert (row_of(first).extra, row_of(second).extra, second.extra) == ({"note": "mine"}, {}, {})


@pytest.mark.parametrize("processor", [Plain, Unique])
def test_arguments_come_back_as_they_went_in(processor: type[Plain]) -> None:
    [task] = processor.delay_many([processor(*ODD, __class__="odd")])
    assert row_of(task).arguments == {"args": ODD, "kwargs": {"__class__": "odd"}}
    assert processor(*ODD, __class__="odd").delay().pk == task.pk or processor is Plain


@pytest.mark.parametrize("processor", [Plain, Unique])
def test_results_have_the_order_of_a_generators_items_and_run_in_it(
    processor: type[Plain], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = random.sample(range(1000), 50)
    with _chunks_of(monkeypatch, 7):
        tasks = processor.delay_many((number,) for number in numbers)
    assert _numbers(tasks) == numbers
    assert [task.id for task in claim()] == ids_of(tasks)


def test_batches_and_single_tasks_get_different_ids_and_run_in_turn() -> None:
    tasks = [
        Plain(0).delay(),
        *Plain.delay_many([(1,), (2,)]),
        Plain(3).delay(),
        *Plain.delay_many([(4,)]),
    ]
    assert [task.id for task in claim()] == ids_of(tasks)


@pytest.fixture(params=[True, False])
def collects(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Turn the garbage collector on or off, and on again in the end."""
    (gc.enable if request.param else gc.disable)()
    yield request.param
    gc.enable()


def test_the_garbage_collector_is_as_it_was_before_a_batch(
    collects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Plain.delay_many([(1,)])
    assert gc.isenabled() is collects
    with monkeypatch.context() as patch:
        patch.setattr(json, "loads", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Plain.delay_many([(1,)])
    assert gc.isenabled() is collects


def test_an_empty_batch_stores_nothing_and_asks_for_nothing(
    django_assert_num_queries: Any,
) -> None:
    with django_assert_num_queries(0):
        assert Unique.delay_many(()) == []


@pytest.mark.parametrize("zone_hours", [0, 5])
def test_an_absolute_moment_is_stored_exactly(zone_hours: int) -> None:
    moment = datetime(2031, 2, 3, 4, 5, 6, 789012, UTC) + timedelta(hours=zone_hours)
    tasks = Unique.delay_many([(1,), (2,)], execute_after=moment)
    assert {with_zone(row_of(task).execute_after) for task in tasks} == {moment}


def test_a_large_batch_takes_few_statements() -> None:
    with CaptureQueriesContext(connection) as queries:
        tasks = Unique.delay_many((number,) for number in range(20_000))
    inserts = [query for query in queries if "INSERT INTO django_partisan_task" in query["sql"]]
    assert len(inserts) == 4
    assert len(queries) <= 20  # with the savepoint around each
    assert _numbers(tasks) == list(range(20_000))
    assert Task.objects.count() == len(set(ids_of(tasks))) == 20_000


def test_large_arguments_are_spread_over_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 1000)
    with CaptureQueriesContext(connection) as queries:
        tasks = Plain.delay_many([(number, "x" * 300) for number in range(10)])
    inserts = [query for query in queries if "INSERT INTO django_partisan_task" in query["sql"]]
    assert len(inserts) == 4
    assert _numbers(list(Task.objects.order_by("pk"))) == _numbers(tasks)


# --- transactions


@pytest.mark.django_db(transaction=True)
def test_a_batch_is_visible_to_others_only_when_its_transaction_commits() -> None:
    with transaction.atomic():
        Unique.delay_many([(1,), (2,)])
        [seen] = at_once(Task.objects.count)
    assert seen == 0
    assert at_once(Task.objects.count) == [2]


@pytest.mark.django_db(transaction=True)
def test_a_batch_whose_transaction_rolls_back_never_existed() -> None:
    with transaction.atomic():
        Unique.delay_many([(1,), (2,)])
        transaction.set_rollback(True)
    assert not Task.objects.exists()
    tasks = Unique.delay_many([(1,), (2,), (1,)])
    assert Task.objects.count() == len(set(ids_of(tasks))) == 2


def _fail_at(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, insert = iter(range(100)), type(dialect_for()).insert_many

    def fail(self: Dialect, *args: Any, **options: Any) -> set[int]:
        if next(calls) == call:
            raise DatabaseError("the disk is full")
        return insert(self, *args, **options)

    monkeypatch.setattr(type(dialect_for()), "insert_many", fail)


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_a_batch_is_stored_as_a_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", 2)
    _fail_at(2, monkeypatch)
    with pytest.raises(DatabaseError, match="disk"):
        Unique.delay_many([(number,) for number in range(9)])
    assert not Task.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_failed_batch_leaves_the_callers_transaction_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", 2)
    _fail_at(1, monkeypatch)
    with transaction.atomic():
        before = Plain("before").delay()
        with pytest.raises(DatabaseError, match="disk"):
            Plain.delay_many([(number,) for number in range(9)])
        after = Plain("after").delay()
    assert set(ids_of(list(Task.objects.all()))) == {before.id, after.id}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_managers_are_notified_once_for_a_batch_and_after_its_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", 3)
    monkeypatch.setattr(notifications, "_last_sent", {})
    sent: list[tuple[str, int]] = []

    def note(_: Dialect, __: Any, queue_name: str) -> None:
        sent.append((queue_name, at_once(Task.objects.count)[0]))

    monkeypatch.setattr(type(dialect_for()), "notify", note)
    with transaction.atomic():
        InOtherQueue.delay_many([(number,) for number in range(10)])
        assert sent == []
    assert sent == [("other", 10)]


# --- duplicates


@pytest.mark.parametrize("chunk", [2, 100])
def test_duplicates_within_a_batch_are_one_task(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _chunks_of(monkeypatch, chunk):
        tasks = Unique.delay_many([(1,), (2,), Unique(1), [2], (3,), (1,)])
    assert _numbers(tasks) == [1, 2, 1, 2, 3, 1]
    assert tasks[0] == tasks[2] == tasks[5]
    assert tasks[1] == tasks[3]
    assert Task.objects.count() == 3


def test_a_processor_that_is_not_unique_is_enqueued_every_time() -> None:
    assert len(set(ids_of(Plain.delay_many([(1,)] * 5)))) == 5


@pytest.mark.parametrize("chunk", [3, 100])
def test_duplicates_of_waiting_tasks_return_those_unchanged(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = {number: Unique(number).delay(priority=3) for number in (2, 5, 7)}
    with _chunks_of(monkeypatch, chunk):
        tasks = Unique.delay_many([(number,) for number in range(10)], priority=1, execute_after=9)
    assert _numbers(tasks) == list(range(10))
    for number, task in enumerate(tasks):
        assert _columns(task) == _columns(row_of(task))
        assert task.priority == (3 if number in waiting else 1)
    assert {number: tasks[number].id for number in waiting} == {
        number: task.id for number, task in waiting.items()
    }
    assert Task.objects.count() == 10


def test_a_batch_of_nothing_but_duplicates_returns_the_waiting_tasks() -> None:
    first = Unique.delay_many([(number,) for number in range(20)])
    again = Unique.delay_many([(number,) for number in reversed(range(20))])
    assert ids_of(again) == ids_of(first)[::-1]
    assert Task.objects.count() == 20


def test_a_task_that_is_unique_until_start_may_be_enqueued_while_it_runs() -> None:
    before = Unique.delay_many([(1,), (2,)])
    claim(1)
    after = Unique.delay_many([(1,), (2,)])
    assert after[0].id != before[0].id
    assert after[1].id == before[1].id


def test_a_task_that_is_unique_until_finish_is_returned_while_it_runs() -> None:
    [before] = UniqueUntilFinish.delay_many([(1,)])
    claim(1)
    task, other = UniqueUntilFinish.delay_many([(1,), (2,)])
    assert (task.id, task.status, other.status) == (before.id, "in_process", "new")


@pytest.mark.parametrize("chunk", [1, 100])
def test_replace_gives_waiting_tasks_the_new_time_and_priority(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Replacing(1).delay(execute_after=5)
    with _chunks_of(monkeypatch, chunk):
        tasks = Replacing.delay_many([(0,), (1,), (2,), (1,)], priority=-3, execute_after=60)
    assert tasks[1].id == tasks[3].id == waiting.id
    assert [_columns(task) for task in tasks] == [_columns(row_of(task)) for task in tasks]
    assert [task.priority for task in tasks] == [-3] * 4
    assert len({task.execute_after for task in tasks}) == 1
    assert seconds_from_now(tasks[1].execute_after) == pytest.approx(60, abs=2)


def test_replace_leaves_a_running_duplicate_as_it_is() -> None:
    ReplacingUntilFinish(1).delay()
    [running] = claim(1)
    before = _columns(row_of(running))
    task, _ = ReplacingUntilFinish.delay_many([(1,), (2,)], priority=1, execute_after=60)
    assert _columns(task) == before == _columns(row_of(running))


def test_earlier_brings_waiting_tasks_forward_and_never_puts_them_off() -> None:
    now = timezone.now()
    late, soon = now + timedelta(hours=2), now + timedelta(minutes=1)
    waiting = [
        Earliest("late").delay(execute_after=late, priority=4),
        Earliest("soon").delay(execute_after=soon, priority=4),
    ]
    middle = now + timedelta(hours=1)
    tasks = Earliest.delay_many([("late",), ("soon",), ("new",)], execute_after=middle)
    assert ids_of(tasks[:2]) == ids_of(waiting)
    assert [task.execute_after for task in tasks] == [middle, soon, middle]
    assert [task.priority for task in tasks] == [4, 4, 10]


# --- rivals


def _rival(numbers: list[int], processor: type[Plain]) -> list[int]:
    with transaction.atomic():
        return ids_of(processor.delay_many((number,) for number in numbers))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("processor", [Unique, Replacing, Earliest])
def test_rival_batches_with_the_same_keys_in_opposite_order_store_each_task_once(
    processor: type[Plain], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", 50)
    # Each overlaps with the others and has keys of its own.
    ranges = [range(place * 20, 300 + place * 20) for place in range(8)]
    orders = [
        list(numbers) if place % 2 else list(reversed(numbers))
        for place, numbers in enumerate(ranges)
    ]
    results = at_once(*[partial(_rival, numbers, processor) for numbers in orders])
    id_of = {task.arguments["args"][0]: task.id for task in Task.objects.all()}
    assert len(id_of) == Task.objects.count() == 440
    for numbers, ids in zip(orders, results, strict=True):
        assert ids == [id_of[number] for number in numbers]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("processor", [Unique, UniqueUntilFinish, Replacing])
def test_enqueueing_batches_while_duplicates_are_claimed_and_recorded_never_fails(
    processor: type[Plain],
) -> None:
    def produce() -> None:
        for _ in range(15):
            assert len(processor.delay_many([(number,) for number in range(30)])) == 30

    def consume(owner: int) -> None:
        for _ in range(30):
            for task in claim(5, owner=owner):
                finished = ended_attempt(task)
                while not record(finished) and lifecycle.still_held([finished]):
                    pass

    at_once(produce, produce, partial(consume, 1), partial(consume, 2))
    assert set(statuses()) <= {"new", "finished"}
    assert Task.objects.filter(status="new").count() <= 30


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("chunk", [1, 100])
def test_a_duplicate_that_is_claimed_between_two_statements_is_enqueued_anew(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", chunk)
    waiting = Unique.delay_many([(1,), (2,)])
    find, left = module._duplicates, [1]

    def claim_first(rows: Any) -> dict[int, Task]:
        if left:
            at_once(partial(claim, left.pop()))
        found: dict[int, Task] = find(rows)
        return found

    monkeypatch.setattr(module, "_duplicates", claim_first)
    tasks = Unique.delay_many([(1,), (2,), (3,)])
    assert tasks[0].id != waiting[0].id
    assert tasks[1].id == waiting[1].id
    assert [_columns(task) for task in tasks] == [_columns(row_of(task)) for task in tasks]
    assert statuses() == ["in_process", "new", "new", "new"]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_duplicate_that_is_held_is_not_claimed_before_the_transaction_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [waiting] = Unique.delay_many([(1,)])
    find, tries = module._duplicates, iter([False, True])
    monkeypatch.setattr(module, "_duplicates", lambda rows: find(rows) if next(tries) else {})
    with transaction.atomic():
        held, new = Unique.delay_many([(1,), (2,)])
        assert at_once(claim) == [[]]
    assert held.id == waiting.id
    assert [ids_of(tasks) for tasks in at_once(claim)] == [ids_of([waiting, new])]


def test_a_duplicate_that_never_becomes_visible_ends_in_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Unique(1).delay()
    monkeypatch.setattr(module, "_duplicates", lambda rows: {})
    with pytest.raises(DuplicateNotVisible, match=r"Unique could not be enqueued.*retry"):
        Unique.delay_many([(1,), (2,)])
    assert Task.objects.count() == 1


def test_a_task_of_a_batch_regains_its_uniqueness_like_any_other() -> None:
    [task, _] = Unique.delay_many([(1,), (2,)])
    [running] = claim(1)
    record(ended_attempt(running, RELEASED))
    assert Unique(1).delay().pk == task.pk == running.id
