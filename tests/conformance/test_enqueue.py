"""A database can store new tasks: in the caller's transaction, due by the database's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

from django_partisan.config.moments import with_zone
from django_partisan.models import Task
from tests.support.factories import at_once, claim, ids_of, row_of, seconds_from_now
from tests.support.processors import InOtherQueue, Plain, Replacing, Unique

pytestmark = pytest.mark.django_db


class _UndoError(Exception):
    """Rolls a transaction back."""


@contextmanager
def _undone() -> Iterator[None]:
    with suppress(_UndoError), transaction.atomic():
        yield
        raise _UndoError


def _columns(task: Task) -> dict[str, Any]:
    return {field.attname: getattr(task, field.attname) for field in Task._meta.concrete_fields}


@pytest.mark.parametrize("processor", [Plain("ä", n=[1]), Unique(), InOtherQueue(2), Replacing(3)])
def test_the_task_that_delay_returns_is_the_row_in_the_database(processor: Plain) -> None:
    task = processor.delay()
    assert _columns(task) == _columns(row_of(task))
    assert task._state.db == "default"


def test_a_new_task_waits_and_is_due_now() -> None:
    row = row_of(Plain(1, two=2).delay())
    assert (row.status, row.queue_name, row.priority) == ("new", "default", 10)
    assert row.processor_class == "tests.support.processors.Plain"
    assert row.arguments == {"args": [1], "kwargs": {"two": 2}}
    assert row.extra == {}
    assert row.execute_after == row.created_at
    assert seconds_from_now(row.created_at) == pytest.approx(0, abs=2)
    assert {row.unique_hash, row.unique_key, row.manager_id, row.result} == {None}


def test_a_new_task_starts_with_all_counters_at_zero() -> None:
    row = row_of(Plain().delay())
    counters = (row.lease, row.attempts, row.retries, row.postpones, row.rescues, row.crashes)
    assert set(counters) == {0}


@pytest.mark.parametrize("wait", [90, 90.0, timedelta(seconds=90)])
def test_a_relative_delay_counts_from_the_databases_now(wait: float | timedelta) -> None:
    assert seconds_from_now(Plain().delay(execute_after=wait).execute_after) == pytest.approx(
        90, abs=2
    )


@pytest.mark.parametrize(
    "zone", [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=11))]
)
def test_an_absolute_moment_is_stored_exactly_whatever_its_time_zone(zone: timezone) -> None:
    moment = datetime(2031, 2, 3, 4, 5, 6, 789012, zone)
    task = Plain().delay(execute_after=moment)
    assert with_zone(row_of(task).execute_after) == moment == with_zone(task.execute_after)


def test_a_moment_in_the_past_is_due_at_once() -> None:
    old = Plain().delay(execute_after=datetime(1999, 12, 31, tzinfo=UTC))
    assert ids_of(claim()) == [old.id]


@pytest.mark.parametrize("priority", [0, -7, 2**31 - 1, -(2**31)])
def test_every_whole_number_is_a_priority(priority: int) -> None:
    assert row_of(Plain().delay(priority=priority)).priority == priority


def test_arguments_come_back_as_they_went_in() -> None:
    arguments = ["ключ", "💥", "'; DROP TABLE x; --", "%s %% %(x)s", 1.5, 2**80, None, {"": []}]
    row = row_of(Plain(*arguments, __class__="odd", self_="no").delay())
    assert row.arguments["args"] == arguments
    assert row.arguments["kwargs"] == {"__class__": "odd", "self_": "no"}


@override_settings(PARTISAN_MAX_ARGUMENTS_BYTES=1000)
def test_arguments_up_to_the_limit_are_stored_and_larger_ones_refused() -> None:
    frame = len('{"args":[""],"kwargs":{}}')
    Plain("x" * (1000 - frame)).delay()
    with pytest.raises(ValueError, match="1001 bytes"):
        Plain("x" * (1001 - frame)).delay()
    assert Task.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_task_enqueued_outside_a_transaction_is_visible_at_once() -> None:
    task = Plain().delay()
    [claimed] = at_once(claim)
    assert ids_of(claimed) == [task.id]


@pytest.mark.django_db(transaction=True)
def test_a_task_is_visible_to_others_only_when_its_transaction_commits() -> None:
    with transaction.atomic():
        task = Plain().delay()
        [seen_before] = at_once(Task.objects.count)
    assert seen_before == 0
    [claimed] = at_once(claim)
    assert ids_of(claimed) == [task.id]


@pytest.mark.django_db(transaction=True)
def test_a_task_whose_transaction_rolls_back_never_existed() -> None:
    with _undone():
        Unique().delay()
    assert not Task.objects.exists()
    assert Unique().delay().pk


@pytest.mark.django_db(transaction=True)
def test_a_task_of_a_nested_block_that_rolls_back_is_gone_and_the_outer_one_stays() -> None:
    with transaction.atomic():
        outer = Unique("outer").delay()
        with _undone():
            Unique("inner").delay()
            Unique("outer").delay()
        also = Unique("inner").delay()
    assert ids_of(list(Task.objects.order_by("pk"))) == [outer.id, also.id]


@pytest.mark.django_db(transaction=True)
def test_a_nested_block_that_commits_is_undone_with_the_outer_one() -> None:
    with _undone(), transaction.atomic():
        Plain().delay()
    assert not Task.objects.exists()
