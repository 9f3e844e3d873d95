"""A database keeps each of a task's values in its own place: no two of them change places."""

from __future__ import annotations

import json
import time
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from django_partisan.attempt import FAILED, ClaimedTask, ErrorReport, Outcome
from django_partisan.database import dialect_for
from django_partisan.database.values import TaskUpdate
from django_partisan.lifecycle import lost_claims, transitions
from django_partisan.lifecycle.instances import claimed_of, instance_of
from django_partisan.lifecycle.transitions import EndedAttempt, Transition, updates_of
from django_partisan.models import Task
from tests.support.factories import (
    OWNER,
    claim,
    ended_attempt,
    insert_in_bulk,
    record_and_claim,
    rescue,
    row_of,
    seconds_from_now,
    take_over,
)

pytestmark = pytest.mark.django_db

# A value of its own for each, with room between them for what a transition adds.
COLUMNS: dict[str, Any] = {
    "priority": 100,
    "lease": 200,
    "attempts": 300,
    "retries": 400,
    "postpones": 500,
    "rescues": 600,
    "crashes": 700,
    "repeat_seconds": 800.0,
}
ADDED: dict[str, Any] = {
    "attempts": 11,
    "retries": 12,
    "postpones": 13,
    "rescues": 14,
    "crashes": 15,
    "lease": 16,
}
ARGUMENTS = {"args": [0], "kwargs": {}}


def stored(**columns: Any) -> Task:
    return insert_in_bulk(1, **COLUMNS, **columns)[0]


def held() -> Task:
    """Return a task in process, the only one."""
    return stored(status="in_process", manager_id=OWNER)


def values_of(task: ClaimedTask) -> dict[str, Any]:
    """Return the fields, the arguments decoded and without what only sorts."""
    assert isinstance(task.due, (int, float, str))
    values = {**task._asdict(), "arguments": json.loads(task.arguments)}
    del values["due"]
    return values


def expected(row: Task, **added: int) -> dict[str, Any]:
    """Return what a claim carries of a row, after something was added to its counters."""
    columns = {name: value + added.get(name, 0) for name, value in COLUMNS.items()}
    names = {"id": row.pk, "processor_class": row.processor_class, "queue_name": "default"}
    return {**columns, **names, "arguments": ARGUMENTS, "starts_by": None}


def update_of(row: Task, **changes: Any) -> TaskUpdate:
    """Return the update of a task that finished, with other values by name."""
    return updates_of([ended_attempt(claimed_of(row))])[0]._replace(**changes)


def record(update: TaskUpdate) -> dict[int, str]:
    return dialect_for("default").record(connection, [update]).statuses


def counters(task: Task) -> dict[str, int]:
    return {name: getattr(task, name) for name in COLUMNS}


def changed(**added: int) -> dict[str, int]:
    return {name: value + added.get(name, 0) for name, value in COLUMNS.items()}


def test_a_claim_carries_each_value_in_its_place() -> None:
    row = stored()
    [task] = claim()
    assert values_of(task) == expected(row, lease=1, attempts=1)
    assert counters(row_of(task)) == changed(lease=1, attempts=1)


def test_a_claim_in_one_statement_with_a_record_carries_each_value_in_its_place() -> None:
    former = stored(execute_after=timezone.now() - timedelta(hours=1))
    [ended] = claim()
    row = stored()
    recorded, [task] = record_and_claim([ended_attempt(ended)], 1)
    assert recorded == {former.pk}
    assert values_of(task) == expected(row, lease=1, attempts=1)
    assert counters(row_of(former.pk)) == changed(lease=1, attempts=1)


def test_a_claim_without_an_answer_is_found_with_each_value_in_its_place() -> None:
    row = held()
    [task] = lost_claims(OWNER, set())
    assert values_of(task) == expected(row)


@pytest.mark.parametrize(
    ("has_started", "transition"),
    [(False, transitions.TAKE_OVER), (True, transitions.TAKE_OVER_STARTED)],
)
def test_what_is_taken_over_has_in_hand_what_is_stored(
    has_started: bool, transition: Transition
) -> None:
    # One crash less than its cap, or it would be given up.
    row = held()
    Task.objects.update(crashes=2, started_at=timezone.now() if has_started else None)
    [task] = take_over()
    was = {**expected(row), "crashes": 2}
    now = {**was, **{name: was[name] + n for name, n in transition.added.items()}}
    assert values_of(task) == now
    assert counters(row_of(task)) == {name: now[name] for name in COLUMNS}


def test_a_rescue_changes_each_counter_in_its_place() -> None:
    row = held()
    assert rescue() == [row.pk]
    assert counters(row_of(row)) == changed(**transitions.RESCUE.added)


def test_a_transition_changes_each_counter_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    transition = Transition(status="error", **ADDED)
    assert transition.added == ADDED
    assert set(ADDED) | {"status", "attempt_outcome", "is_first_retry"} == {
        f.name for f in fields(Transition)
    }
    row = held()
    monkeypatch.setitem(transitions.TRANSITION_OF, FAILED, transition)
    record(updates_of([ended_attempt(claimed_of(row), FAILED)])[0])
    assert counters(row_of(row)) == changed(**ADDED)


def test_an_update_has_each_value_of_an_outcome_in_its_place() -> None:
    now = time.monotonic()
    task = claimed_of(held())
    outcome = Outcome(
        task_id=task.id,
        lease=task.lease,
        kind=FAILED,
        started=now - 1000,
        ended=now - 100,
        result="7",
        delay_seconds=3.0,
        due_at=5.0,
        error=ErrorReport("", "", ""),
    )
    [update] = updates_of([EndedAttempt(task=task, outcome=outcome)])
    assert update.started_ago == pytest.approx(1000, abs=60)
    assert update.ended_ago == pytest.approx(100, abs=60)
    assert update._replace(started_ago=1000.0, ended_ago=100.0) == TaskUpdate(
        id=task.id,
        lease=task.lease,
        status="error",
        result="7",
        delay_seconds=3.0,
        due_at=5.0,
        started_ago=1000.0,
        ended_ago=100.0,
        attempts=0,
        retries=0,
        postpones=0,
        rescues=0,
        crashes=0,
        leases=0,
    )


@pytest.mark.parametrize("status", ["finished", "error"])
def test_a_record_writes_each_moment_and_the_result_in_its_place(status: str) -> None:
    row = held()
    update = update_of(row, status=status, result="7", started_ago=3000.0, ended_ago=1000.0)
    assert record(update) == {row.pk: status}
    after = row_of(row)
    assert (after.status, after.result) == (status, 7)
    assert seconds_from_now(after.started_at) == pytest.approx(-3000, abs=60)
    assert seconds_from_now(after.finished_at) == pytest.approx(-1000, abs=60)


@pytest.mark.parametrize(
    ("delay_seconds", "due_in"), [(2000.0, None), (None, 7000.0)], ids=["delay", "moment"]
)
def test_a_record_writes_when_a_task_is_due_again(
    delay_seconds: float | None, due_in: float | None
) -> None:
    row = held()
    due_at = None if due_in is None else timezone.now().timestamp() + due_in
    record(update_of(row, status="new", delay_seconds=delay_seconds, due_at=due_at))
    due = seconds_from_now(row_of(row).execute_after)
    assert due == pytest.approx(delay_seconds or due_in, abs=60)


def test_a_delete_asks_for_the_lease_and_the_id_in_their_places() -> None:
    row = held()
    update = update_of(row)
    dialect = dialect_for("default")
    assert dialect.delete_recorded(connection, [update._replace(lease=row.pk)]) == set()
    assert dialect.delete_recorded(connection, [update]) == {row.pk}


def test_a_row_and_what_a_claim_carries_of_it_are_made_of_each_other(
    django_assert_num_queries: Any,
) -> None:
    row = held()
    task = claimed_of(row)
    assert values_of(task) == expected(row)
    with django_assert_num_queries(0):
        instance = instance_of(task)
        assert counters(instance) == COLUMNS
        assert (instance.pk, instance.status) == (row.pk, "in_process")
    assert values_of(claimed_of(instance)) == expected(row)
