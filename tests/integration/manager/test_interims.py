"""What tasks tell is written before their end, once each, and kept while it cannot be written."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from django_partisan import lifecycle
from django_partisan.attempt import FAILED, FINISHED, ClaimedTask, Interim
from django_partisan.config.const import NEVER
from django_partisan.manager.recorder import Recorder
from django_partisan.models import Progress, Task
from tests.support.factories import (
    MAX_RESCUES,
    RIVAL,
    claim,
    claim_new,
    ended_attempt,
    locked_by_a_stranger,
    rescue,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(deletes=lambda _: False, max_rescues=MAX_RESCUES)


def told_by(task: ClaimedTask, done: float | None = None, **more: Any) -> Interim:
    return Interim(task.id, task.lease, time.monotonic(), done, **more)


def statements_of(action: Callable[[], object]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        action()
    return [each["sql"] for each in captured if "TRANSACTION" not in each["sql"]]


def test_while_nothing_is_told_there_is_nothing_to_do(recorder: Recorder) -> None:
    assert recorder.interims.next_deadline() == NEVER
    assert statements_of(lambda: recorder.interims.turn(0)) == []


def test_what_many_tasks_tell_is_written_by_one_statement(recorder: Recorder) -> None:
    tasks = claim_new(20)
    for round_ in range(3):
        for task in tasks:
            recorder.interims.add(told_by(task, float(round_)))
    assert recorder.interims.next_deadline() == 0.0
    assert len(statements_of(lambda: recorder.interims.turn(0))) == 1
    assert set(Progress.objects.values_list("done", flat=True)) == {2}
    assert recorder.interims.next_deadline() == NEVER


def test_the_last_word_is_written_before_the_end_and_not_in_one_statement_with_a_claim(
    recorder: Recorder,
) -> None:
    [task] = claim_new()
    recorder.add(ended_attempt(task), now=0)
    is_plain = [recorder.is_plain]
    recorder.interims.add(told_by(task, 5.0))
    assert [*is_plain, recorder.is_plain] == [True, False]
    recorder.flush(0)
    assert (Task.objects.get().status, Progress.objects.get().done) == ("finished", 5)
    assert recorder.interims.next_deadline() == NEVER, "progress alone leaves nothing to forget"


def test_the_checkpoint_of_a_finished_task_is_forgotten_and_that_of_a_failed_one_is_kept(
    recorder: Recorder,
) -> None:
    finished, failed, durable = claim_new(3)
    for task in (finished, failed):
        recorder.interims.add(told_by(task, number=1, checkpoint="[1]"))
    lifecycle.write_checkpoint(told_by(durable, number=2, checkpoint="[2]"))
    # That there is one, which it has written itself, and how far it is.
    recorder.interims.add(told_by(durable, 5.0).over(told_by(durable, number=3)))
    for task, kind in ((finished, FINISHED), (failed, FAILED), (durable, FINISHED)):
        recorder.add(ended_attempt(task, kind), now=0)
    assert not recorder.is_plain
    recorder.flush(0)
    left = Progress.objects.filter(checkpoint__isnull=False).values_list("pk", flat=True)
    assert list(left) == [failed.id]


def test_what_cannot_be_written_now_is_written_later(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    [task] = claim_new()
    recorder.interims.add(told_by(task, 1.0))

    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("the server is away")

    with monkeypatch.context() as broken:
        broken.setattr(lifecycle, "write_interims", away)
        for action in (recorder.interims.turn, recorder.flush):
            with pytest.raises(OperationalError):
                action(0)
    recorder.interims.add(told_by(task, 2.0))
    recorder.interims.turn(0)
    assert Progress.objects.get().done == 2


def test_what_is_told_under_a_lease_that_has_passed_is_let_go(recorder: Recorder) -> None:
    [task] = claim_new()
    recorder.interims.add(told_by(task, 1.0, number=1, checkpoint="[1]"))
    rescue()
    claim(owner=RIVAL)
    recorder.interims.turn(0)
    assert not Progress.objects.exists()
    assert not recorder.interims.tellers
    assert recorder.interims.next_deadline() == NEVER


@pytest.mark.postgresql
def test_a_task_that_somebody_has_locked_is_written_when_it_is_free(recorder: Recorder) -> None:
    free, locked = claim_new(2)
    for task in (free, locked):
        recorder.interims.add(told_by(task, 1.0))
    with locked_by_a_stranger(locked.id):
        recorder.interims.turn(0)
        assert [row.pk for row in Progress.objects.all()] == [free.id]
        recorder.add(ended_attempt(locked), now=0)
        recorder.flush(0)
        assert len(recorder) == 1
    recorder.flush(0)
    assert Progress.objects.count() == 2
    assert Task.objects.get(pk=locked.id).status == "finished"


def test_what_is_deleted_with_its_end_leaves_nothing_behind() -> None:
    recorder = Recorder(deletes=lambda _: True, max_rescues=MAX_RESCUES)
    [task] = claim_new()
    recorder.interims.add(told_by(task, 1.0))
    recorder.interims.turn(0)
    recorder.add(ended_attempt(task), now=0)
    recorder.flush(0)
    assert not Progress.objects.exists()
    assert not recorder.interims.tellers
