"""A database can record outcomes: the right columns, only under the lease, each one once."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

from django_partisan import execution, lifecycle
from django_partisan.attempt import FAILED, POSTPONED, RELEASED, RESUMED, RETRIED, ErrorReport
from django_partisan.config.moments import with_zone
from django_partisan.lifecycle.transitions import TRANSITION_OF
from django_partisan.models import Attempt, Task
from django_partisan.payloads.encoding import encode_result
from tests.support.factories import (
    RIVAL,
    at_once,
    attempts_of,
    claim,
    claim_new,
    ended_attempt,
    enqueue,
    finish,
    ids_of,
    record,
    record_and_claim,
    row_of,
    seconds_from_now,
    statuses,
)

pytestmark = pytest.mark.django_db

KINDS = sorted(TRANSITION_OF)
BACK_TO_NEW = {"retried", "resumed", "postponed", "released", "crashed", "orphaned"}
MIXED = ["finished", "failed"] * 2
COUNTERS = ("lease", "attempts", "retries", "postpones", "rescues", "crashes")
# The transition table: what each outcome leaves of a first claim.
TRANSITIONS: dict[str, tuple[str, dict[str, int]]] = {
    "finished": ("finished", {"lease": 1, "attempts": 1}),
    "retried": ("new", {"lease": 1, "attempts": 1, "retries": 1}),
    "resumed": ("new", {"lease": 1, "attempts": 1, "retries": 1}),
    "postponed": ("new", {"lease": 1, "postpones": 1}),
    "failed": ("error", {"lease": 1, "attempts": 1}),
    "cancelled": ("cancelled", {"lease": 1, "attempts": 1}),
    "expired": ("cancelled", {"lease": 1}),
    "released": ("new", {"lease": 1}),
    "crashed": ("new", {"lease": 2, "attempts": 1, "rescues": 1, "crashes": 1}),
    "orphaned": ("new", {"lease": 2, "rescues": 1}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_outcome_writes_what_the_transition_table_says(kind: str) -> None:
    [task] = claim_new()
    assert record(ended_attempt(task, kind)) == {task.id}
    row = row_of(task)
    status, counted = TRANSITIONS[kind]
    assert row.status == status
    assert {name: getattr(row, name) for name in COUNTERS if getattr(row, name)} == counted
    assert row.manager_id is None
    assert seconds_from_now(row.updated_at) == pytest.approx(0, abs=2)


def test_of_a_task_that_has_come_further_the_retries_before_count_no_more() -> None:
    [task] = claim_new()
    Task.objects.filter(pk=task.id).update(retries=4)
    assert record(ended_attempt(task._replace(retries=4), RESUMED, delay_seconds=0.0))
    assert row_of(task).retries == 1
    assert [each.outcome for each in attempts_of(task)] == ["retried"]


@pytest.mark.parametrize("kind", ["finished", "failed"])
def test_an_end_keeps_the_moments_of_the_attempt_by_the_databases_clock(kind: str) -> None:
    [task] = claim_new()
    record(ended_attempt(task, kind))
    row = row_of(task)
    assert seconds_from_now(row.started_at) == pytest.approx(-2, abs=0.9)
    assert seconds_from_now(row.finished_at) == pytest.approx(-1, abs=0.9)
    assert row.claimed_at is not None


@pytest.mark.parametrize("kind", sorted(BACK_TO_NEW))
def test_a_task_that_waits_again_has_no_moments_of_an_attempt(kind: str) -> None:
    [task] = claim_new()
    lifecycle.mark_started([task])
    record(ended_attempt(task, kind))
    row = row_of(task)
    assert row.claimed_at is row.started_at is row.finished_at is None


@pytest.mark.parametrize("kind", KINDS)
def test_an_outcome_under_a_stale_lease_changes_nothing(kind: str) -> None:
    [stale] = claim_new()
    record(ended_attempt(stale, RELEASED))
    [held] = claim(owner=RIVAL)
    before = Task.objects.values().get(pk=held.id)
    assert record(ended_attempt(stale, kind)) == set()
    assert Task.objects.values().get(pk=held.id) == before
    assert attempts_of(stale) == []


@pytest.mark.parametrize("kind", KINDS)
def test_recording_the_same_outcome_again_changes_nothing(kind: str) -> None:
    [task] = claim_new()
    record(ended_attempt(task, kind))
    before = Task.objects.values().get(pk=task.id), len(attempts_of(task))
    assert record(ended_attempt(task, kind)) == set()
    assert (Task.objects.values().get(pk=task.id), len(attempts_of(task))) == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", KINDS)
def test_of_two_rivals_recording_the_same_tasks_one_records_each(kind: str) -> None:
    tasks = claim_new(20)
    ended_attempts = [ended_attempt(task, kind) for task in tasks]
    first, second = at_once(
        partial(record, *ended_attempts[:15], delete_finished=True),
        partial(record, *ended_attempts[5:], delete_finished=True),
    )
    # A row that the rival is busy with is passed over, and reported by still_held.
    again = record(
        *(e for e in ended_attempts if e.task.id in lifecycle.still_held(ended_attempts))
    )
    assert sorted([*first, *second, *again]) == ids_of(tasks)
    told = len(tasks) if TRANSITION_OF[kind].attempt_outcome else 0
    assert Attempt.objects.count() == told


def test_a_mixed_batch_moves_every_task_by_its_own_outcome() -> None:
    tasks = claim_new(len(KINDS) * 2)
    ended_attempts = [
        ended_attempt(task, kind) for task, kind in zip(tasks, KINDS * 2, strict=True)
    ]
    assert record(*ended_attempts) == set(ids_of(tasks))
    assert statuses() == [TRANSITIONS[kind][0] for kind in KINDS * 2]


def test_a_batch_with_stale_outcomes_records_the_others() -> None:
    good, stale, bad = claim_new(3)
    Task.objects.filter(pk=stale.id).update(lease=9)
    assert record(ended_attempt(stale), ended_attempt(good), ended_attempt(bad, FAILED)) == {
        good.id,
        bad.id,
    }
    assert statuses() == ["finished", "in_process", "error"]


def test_recording_nothing_is_fine() -> None:
    assert record() == set()


def test_a_result_is_kept_as_json() -> None:
    results: list[Any] = ['{"a": [1, null, "ü"]}', '"text"', "0", "false", None]
    tasks = claim_new(len(results))
    record(
        *(ended_attempt(task, result=result) for task, result in zip(tasks, results, strict=True))
    )
    kept = Task.objects.order_by("pk").values_list("result", flat=True)
    assert list(kept) == [{"a": [1, None, "ü"]}, "text", 0, False, None]


@pytest.mark.parametrize("kind", ["retried", "postponed"])
def test_a_delay_counts_from_now_by_the_databases_clock(kind: str) -> None:
    now_again, later = claim_new(2)
    record(ended_attempt(now_again, kind), ended_attempt(later, kind, delay_seconds=90.5))
    assert seconds_from_now(row_of(later).execute_after) == pytest.approx(90.5, abs=2)
    assert ids_of(claim()) == [now_again.id]


def test_a_postpone_until_a_moment_is_due_at_that_moment() -> None:
    [task] = claim_new()
    record(ended_attempt(task, POSTPONED, due_at=4_102_444_800.25))
    due = with_zone(row_of(task).execute_after)
    assert due == datetime(2100, 1, 1, 0, 0, 0, 250_000, UTC)


def test_a_release_leaves_the_place_in_the_queue_as_it_was() -> None:
    [task] = claim_new()
    before = row_of(task).execute_after
    record(ended_attempt(task, RELEASED))
    assert row_of(task).execute_after == before


def test_retries_postpones_and_releases_count_independently() -> None:
    enqueue()
    for kind in ("retried", "postponed", "retried", "released", "postponed", "postponed"):
        record(ended_attempt(claim(1)[0], kind))
    row = row_of(claim(1)[0])
    assert (row.retries, row.postpones, row.attempts, row.lease) == (2, 3, 3, 7)
    assert (row.tries_count, row.postpones_count) == (2, 3)


@pytest.mark.parametrize(("kind", "told"), [("failed", "failed"), ("retried", "retried")])
def test_an_error_is_told_by_an_attempt(kind: str, told: str) -> None:
    [task] = claim_new()
    record(ended_attempt(task, kind, error=ErrorReport("app.Broken", "why", "Traceback …")))
    [attempt] = attempts_of(task)
    assert (attempt.outcome, attempt.number, attempt.lease) == (told, 1, 1)
    assert (attempt.error_type, attempt.message) == ("app.Broken", "why")
    assert (attempt.traceback, attempt.worker_pid) == ("Traceback …", 4321)
    assert attempt.node_name == "here"
    assert attempt.duration_seconds == pytest.approx(1, abs=0.2)
    assert seconds_from_now(attempt.created_at) == pytest.approx(0, abs=2)


@pytest.mark.parametrize("kind", ["finished", "postponed", "released"])
def test_an_attempt_that_went_well_tells_nothing(kind: str) -> None:
    [task] = claim_new()
    record(ended_attempt(task, kind))
    assert attempts_of(task) == []


@pytest.mark.parametrize("bad", ["with NUL \0 in it", "lone \ud800 surrogate", "x" * 5_000_000])
def test_an_error_of_any_text_and_size_is_stored_within_bounds(bad: str) -> None:
    [task] = claim_new()
    record(ended_attempt(task, FAILED, error=execution.report(ValueError(bad))))
    [attempt] = attempts_of(task)
    assert attempt.error_type == "ValueError"
    assert 0 < len(attempt.message.encode()) <= 65_536
    assert len(attempt.traceback.encode()) <= 65_536


@override_settings(PARTISAN_MAX_RESULT_BYTES=1000)
def test_a_result_too_large_is_stored_as_its_capped_repr() -> None:
    [task] = claim_new()
    result, is_repr = encode_result("x" * 100_000, 1000)
    record(ended_attempt(task, result=result))
    assert is_repr
    kept = row_of(task).result
    assert kept is not None
    assert set(kept) == {"repr"}


def test_a_finished_task_is_deleted_with_its_attempts_when_asked() -> None:
    enqueue(2)
    first, _ = claim()
    record(ended_attempt(first, RETRIED))
    [first] = claim()
    kept = Task.objects.exclude(pk=first.id).get()
    assert record(ended_attempt(first), delete_finished=True) == {first.id}
    assert list(Task.objects.all()) == [kept]
    assert not Attempt.objects.exists()


def test_deleting_on_completion_keeps_tasks_that_failed() -> None:
    tasks = claim_new(2)
    record(ended_attempt(tasks[0]), ended_attempt(tasks[1], FAILED), delete_finished=True)
    assert statuses() == ["error"]


def test_deleting_under_a_stale_lease_deletes_nothing() -> None:
    [task] = claim_new()
    Task.objects.filter(pk=task.id).update(lease=2)
    assert record(ended_attempt(task), delete_finished=True) == set()
    assert statuses() == ["in_process"]


def test_still_held_names_the_tasks_whose_lease_still_holds() -> None:
    held, stale, ended, _ = claim_new(4)
    Task.objects.filter(pk=stale.id).update(lease=2)
    finish(ended)
    assert lifecycle.still_held([ended_attempt(task) for task in (held, stale, ended)]) == {held.id}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("delete_finished", [False, True])
def test_a_row_locked_by_a_stranger_does_not_hold_up_the_batch(delete_finished: bool) -> None:
    tasks = claim_new(4)
    ended_attempts = [ended_attempt(task, kind) for task, kind in zip(tasks, MIXED, strict=True)]
    rival = partial(record, *ended_attempts, delete_finished=delete_finished)
    with transaction.atomic():
        list(Task.objects.select_for_update().filter(pk__in=ids_of(tasks[:2])))
        [recorded] = at_once(rival)  # which fails when it has to wait for a lock
    assert recorded == set(ids_of(tasks[2:]))
    assert lifecycle.still_held(ended_attempts) == set(ids_of(tasks[:2]))
    assert rival() == set(ids_of(tasks[:2]))


def test_recording_and_claiming_in_one_step_does_both() -> None:
    done = claim_new(3)
    Task.objects.filter(pk=done[0].id).update(lease=5)
    waiting = enqueue(3, priority=-1)
    ended_attempts = [ended_attempt(task, result='{"n": 1}') for task in done]
    recorded, claimed = record_and_claim(ended_attempts, 2)
    assert recorded == set(ids_of(done[1:]))
    assert ids_of(claimed) == ids_of(waiting[:2])
    assert statuses() == ["in_process", "finished", "finished", "in_process", "in_process", "new"]
    assert row_of(done[1]).result == {"n": 1}


def test_recording_and_claiming_hands_out_tasks_in_order() -> None:
    [done] = claim_new()
    rows = [enqueue(priority=priority)[0] for priority in (5, -5, 0)]
    _, claimed = record_and_claim([ended_attempt(done)], 10)
    assert ids_of(claimed) == ids_of([rows[1], rows[2], rows[0]])
