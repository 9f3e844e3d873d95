"""Outcomes reach the database in batches, each once, and none is thrown away before its time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import DatabaseError, OperationalError, connection

from django_partisan import lifecycle
from django_partisan.attempt import FAILED, FINISHED, POSTPONED, RETRIED
from django_partisan.database.values import TASK
from django_partisan.manager.recorder import FLUSH_SECONDS, Recorder
from django_partisan.models import Task
from tests.support.factories import (
    MAX_RESCUES,
    attempts_of,
    claim_new,
    ended_attempt,
    finish,
    ids_of,
    locked_by_a_stranger,
    row_of,
    statuses,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(deletes=lambda _: False, max_rescues=MAX_RESCUES)


def test_a_lone_outcome_is_due_at_once_when_there_is_nothing_else_to_do(recorder: Recorder) -> None:
    assert not recorder.is_due(0, 100, is_idle=True)
    recorder.add(ended_attempt(claim_new()[0]), now=0)
    assert recorder.is_due(0, 100, is_idle=True)
    assert not recorder.is_due(0, 100, is_idle=False)


def test_outcomes_are_due_when_there_are_enough_or_the_first_has_waited(recorder: Recorder) -> None:
    first, second = claim_new(2)
    recorder.add(ended_attempt(first), now=0)
    recorder.add(ended_attempt(second), now=FLUSH_SECONDS / 2)
    assert recorder.is_due(0, 2, is_idle=False)
    assert not recorder.is_due(FLUSH_SECONDS / 2, 3, is_idle=False)
    assert recorder.is_due(FLUSH_SECONDS, 3, is_idle=False)
    assert recorder.next_deadline() == FLUSH_SECONDS


def test_a_mixed_batch_is_recorded_and_counted(recorder: Recorder) -> None:
    kinds = [FINISHED, RETRIED, POSTPONED, FAILED]
    for task, kind in zip(claim_new(4), kinds, strict=True):
        recorder.add(ended_attempt(task, kind), now=0)
    assert not recorder.is_plain
    recorder.flush(0)
    assert not len(recorder)
    assert statuses() == ["finished", "new", "new", "error"]
    assert recorder.counts == dict.fromkeys(kinds, 1)


def test_an_outcome_under_a_lost_lease_is_counted_and_changes_nothing(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    task = claim_new()[0]
    recorder.add(ended_attempt(task), now=0)
    Task.objects.update(lease=99)
    recorder.flush(0)
    assert recorder.counts == {"stale": 1}
    assert not len(recorder)
    assert row_of(task).status == "in_process"
    assert f"task {task.id} is not ours any more" in caplog.text


def test_what_was_recorded_already_is_stale_the_second_time(recorder: Recorder) -> None:
    task = claim_new()[0]
    finish(task)
    recorder.add(ended_attempt(task, FAILED), now=0)
    recorder.flush(0)
    assert recorder.counts == {"stale": 1}
    assert row_of(task).status == "finished"


def test_an_error_of_the_database_keeps_everything_pending(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = claim_new(2)
    for task in tasks:
        recorder.add(ended_attempt(task), now=0)

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
        recorder.add(ended_attempt(task), now=0)
    with locked_by_a_stranger(locked.id):
        recorder.flush(0)
        assert row_of(free).status == "finished"
        assert recorder.ids() == {locked.id}
    recorder.flush(1)
    assert row_of(locked).status == "finished"
    assert recorder.counts == {"finished": 2}


def test_what_is_deleted_when_it_finishes_needs_a_statement_of_its_own(recorder: Recorder) -> None:
    deleting = Recorder(deletes=lambda _: True, max_rescues=MAX_RESCUES)
    for made in (recorder, deleting):
        made.add(ended_attempt(claim_new()[0]), now=0)
    assert recorder.is_plain
    assert not deleting.is_plain


@pytest.mark.postgresql
def test_an_outcome_that_the_database_refuses_becomes_an_error_and_spares_the_others(
    recorder: Recorder,
) -> None:
    good, bad = claim_new(2)
    recorder.add(ended_attempt(good), now=0)
    # The encoding refuses such a result before; this is what a fault in it would do.
    recorder.add(ended_attempt(bad, result='{"secret": "swordfish\\u0000"}'), now=0)
    flush_anyhow(recorder)
    assert not len(recorder)
    assert row_of(good).status == "finished"
    assert row_of(bad).status == "error"
    attempt = attempts_of(bad)[0]
    assert attempt.error_type == "DataError"
    assert "could not be stored" in attempt.message
    assert "swordfish" not in attempt.message, "what the database quotes may be secret"


@pytest.mark.postgresql
@pytest.mark.parametrize("code", ["23514", "22023", "54000", "P0001"])
def test_an_outcome_that_a_rule_of_the_tables_refuses_becomes_an_error(
    recorder: Recorder, code: str
) -> None:
    task = claim_new()[0]
    recorder.add(ended_attempt(task), now=0)
    with finishing_refused(code):
        flush_anyhow(recorder)
    assert row_of(task).status == "error"


# Full disk, full memory, no connection left, read only, deadlock, serialization, lock timeout,
# cancelled, shutdown, an input or output error, a column that a migration has yet to bring.
PASSING = ["53100", "53200", "53300", "25006", "40P01", "40001", "55P03", "57014", "57P01", "58030"]


@pytest.mark.postgresql
@pytest.mark.parametrize("code", [*PASSING, "42703", "42501", "XX000"])
def test_an_error_that_is_not_about_the_outcome_leaves_it_as_it_is(
    recorder: Recorder, code: str
) -> None:
    tasks = claim_new(2)
    for task in tasks:
        recorder.add(ended_attempt(task), now=0)
    # Only finishing is in trouble: an outcome turned into an error would be recorded.
    with finishing_refused(code), pytest.raises(DatabaseError):
        flush_anyhow(recorder)
    assert recorder.ids() == set(ids_of(tasks))
    recorder.flush(1)
    assert statuses() == ["finished", "finished"]
    assert recorder.counts == {"finished": 2}


@pytest.mark.sqlite
def test_an_outcome_for_which_the_file_has_no_room_is_kept_until_there_is(
    recorder: Recorder,
) -> None:
    task = claim_new()[0]
    recorder.add(ended_attempt(task, result=json.dumps("x" * 1_000_000)), now=0)
    with no_more_pages(), pytest.raises(OperationalError, match="disk is full"):
        flush_anyhow(recorder)
    assert recorder.ids() == {task.id}
    recorder.flush(1)
    assert row_of(task).status == "finished"


def flush_anyhow(recorder: Recorder) -> None:
    """Record as the manager does: singly what was refused together."""
    try:
        recorder.flush(0)
    except DatabaseError as error:
        recorder.flush_singly(error, 0)


@contextmanager
def finishing_refused(code: str) -> Iterator[None]:
    """Have the database answer with this error whenever a task is to be finished."""
    execute(
        "CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$",
        f"CREATE TRIGGER refuse BEFORE UPDATE ON {TASK} FOR EACH ROW"
        " WHEN (NEW.status = 'finished') EXECUTE FUNCTION pg_temp.refuse()",
    )
    try:
        yield
    finally:
        execute(f"DROP TRIGGER refuse ON {TASK}", "DROP FUNCTION pg_temp.refuse()")


@contextmanager
def no_more_pages() -> Iterator[None]:
    """Let the file not grow any more."""
    # No page may be left over from other tests, and of those in use SQLite takes none away.
    execute("VACUUM", "PRAGMA max_page_count = 1")
    try:
        yield
    finally:
        execute("PRAGMA max_page_count = 4294967294")


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_an_outcome_that_needs_a_follower_is_not_recorded_together_with_a_claim(
    recorder: Recorder,
) -> None:
    [plain] = claim_new()
    recorder.add(ended_attempt(plain), now=0)
    assert recorder.is_plain
    recorder.add(ended_attempt(plain._replace(repeat_seconds=60.0)), now=0)
    assert not recorder.is_plain
