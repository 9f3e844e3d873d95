"""Outcomes reach the database in batches, each once, and none is thrown away before its time."""

from __future__ import annotations

import pytest
from django.db import DatabaseError

from django_partisan import execution, lifecycle
from django_partisan.models import Task
from django_partisan.recorder import FLUSH_SECONDS, Recorder
from tests.factories import (
    MAX_RESCUES,
    attempts_of,
    claim_new,
    ending,
    finish,
    ids_of,
    locked_by_a_stranger,
    row_of,
    statuses,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(delete_finished=False, max_rescues=MAX_RESCUES)


def test_a_lone_outcome_is_due_at_once_when_there_is_nothing_else_to_do(recorder: Recorder) -> None:
    assert not recorder.is_due(0, 100, is_idle=True)
    recorder.add(ending(claim_new()[0]), now=0)
    assert recorder.is_due(0, 100, is_idle=True)
    assert not recorder.is_due(0, 100, is_idle=False)


def test_outcomes_are_due_when_there_are_enough_or_the_first_has_waited(recorder: Recorder) -> None:
    first, second = claim_new(2)
    recorder.add(ending(first), now=0)
    recorder.add(ending(second), now=FLUSH_SECONDS / 2)
    assert recorder.is_due(0, 2, is_idle=False)
    assert not recorder.is_due(FLUSH_SECONDS / 2, 3, is_idle=False)
    assert recorder.is_due(FLUSH_SECONDS, 3, is_idle=False)
    assert recorder.next_deadline() == FLUSH_SECONDS


def test_a_mixed_batch_is_recorded_and_counted(recorder: Recorder) -> None:
    kinds = [execution.FINISHED, execution.RETRIED, execution.POSTPONED, execution.FAILED]
    for task, kind in zip(claim_new(4), kinds, strict=True):
        recorder.add(ending(task, kind), now=0)
    assert not recorder.is_plain
    recorder.flush(0)
    assert not len(recorder)
    assert statuses() == ["finished", "new", "new", "error"]
    assert recorder.counts == dict.fromkeys(kinds, 1)


def test_an_outcome_under_a_lost_lease_is_counted_and_changes_nothing(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    task = claim_new()[0]
    recorder.add(ending(task), now=0)
    Task.objects.update(lease=99)
    recorder.flush(0)
    assert recorder.counts == {"stale": 1}
    assert not len(recorder)
    assert row_of(task).status == "in_process"
    assert f"task {task.id} is not ours any more" in caplog.text


def test_what_was_recorded_already_is_stale_the_second_time(recorder: Recorder) -> None:
    task = claim_new()[0]
    finish(task)
    recorder.add(ending(task, execution.FAILED), now=0)
    recorder.flush(0)
    assert recorder.counts == {"stale": 1}
    assert row_of(task).status == "finished"


def test_an_error_of_the_database_keeps_everything_pending(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = claim_new(2)
    for task in tasks:
        recorder.add(ending(task), now=0)

    def lost(*args: object, **kwargs: object) -> set[int]:
        raise DatabaseError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "record", lost)
        with pytest.raises(DatabaseError):
            recorder.flush(0)
    assert recorder.ids() == set(ids_of(tasks))
    recorder.flush(1)
    assert statuses() == ["finished", "finished"]


@pytest.mark.postgresql
def test_a_row_that_a_stranger_has_locked_is_tried_again_and_holds_up_nobody(
    recorder: Recorder,
) -> None:
    locked, free = claim_new(2)
    for task in (locked, free):
        recorder.add(ending(task), now=0)
    with locked_by_a_stranger(locked.id):
        recorder.flush(0)
        assert row_of(free).status == "finished"
        assert recorder.ids() == {locked.id}
    recorder.flush(1)
    assert row_of(locked).status == "finished"
    assert recorder.counts == {"finished": 2}


def test_what_is_deleted_when_it_finishes_needs_a_statement_of_its_own(recorder: Recorder) -> None:
    deleting = Recorder(delete_finished=True, max_rescues=MAX_RESCUES)
    for made in (recorder, deleting):
        made.add(ending(claim_new()[0]), now=0)
    assert recorder.is_plain
    assert not deleting.is_plain


@pytest.mark.postgresql
def test_an_outcome_that_the_database_refuses_becomes_an_error_and_spares_the_others(
    recorder: Recorder,
) -> None:
    good, bad = claim_new(2)
    recorder.add(ending(good), now=0)
    # The encoding refuses such a result before; this is what a fault in it would do.
    recorder.add(ending(bad, result='"\\u0000"'), now=0)
    with pytest.raises(DatabaseError):
        recorder.flush(0)
    recorder.flush_singly(0)
    assert not len(recorder)
    assert row_of(good).status == "finished"
    assert row_of(bad).status == "error"
    assert "could not be stored" in attempts_of(bad)[0].message
