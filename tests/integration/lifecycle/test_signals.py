"""Each verb tells receivers once, after the commit, what it has done; without any, it is free."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from django_partisan import lifecycle
from django_partisan.attempt import (
    CANCELLED,
    CRASHED,
    EXPIRED,
    FAILED,
    FINISHED,
    POSTPONED,
    RELEASED,
    RETRIED,
)
from django_partisan.models import Task
from django_partisan.signals import (
    PartisanSignal,
    task_cancelled,
    task_enqueued,
    task_finished,
    task_started,
)
from tests.support.factories import (
    BOOM,
    MAX_RESCUES,
    attempts_of,
    claim,
    claim_new,
    ended_attempt,
    enqueue,
    ids_of,
    record,
    record_and_claim,
    rescue,
    row_of,
    take_over,
)
from tests.support.listening import connected, listening, told
from tests.support.processors import Plain, Unique

pytestmark = pytest.mark.django_db(transaction=True)


# ----- enqueue


def test_a_stored_task_is_told_of_once_and_its_duplicate_is_not() -> None:
    with listening() as heard:
        task = Unique(1).delay()
        assert Unique(1).delay().was_duplicate
    assert told(heard) == [("task_enqueued", task.pk)]
    assert heard[0].sender is Unique
    assert heard[0].task is task


def test_a_task_is_told_of_after_the_commit_and_never_of_a_rollback() -> None:
    with listening(task_enqueued) as heard:
        with transaction.atomic():
            task = Plain(1).delay()
            assert not heard
        assert told(heard) == [("task_enqueued", task.pk)]
        with transaction.atomic():
            Plain(2).delay()
            transaction.set_rollback(True)
        with transaction.atomic(), transaction.atomic():
            Plain.delay_many([(3,)])
            transaction.set_rollback(True)
    assert len(heard) == 1


def test_each_new_task_of_a_batch_is_told_of_in_order() -> None:
    Unique(2).delay()
    with listening() as heard:
        tasks = Unique.delay_many([(1,), (2,), (3,), (1,)])
    assert told(heard) == [("task_enqueued", tasks[0].pk), ("task_enqueued", tasks[2].pk)]


def test_the_follower_of_a_repeat_is_told_of() -> None:
    Plain(1).delay(repeat=60)
    [link] = claim()
    with listening() as heard:
        record(ended_attempt(link))
    follower = Task.objects.get(status="new")
    assert sorted(told(heard)) == [("task_enqueued", follower.pk), ("task_finished", link.id)]


def test_where_nobody_says_when_it_is_committed_nothing_is_told() -> None:
    connection.set_autocommit(False)
    try:
        with listening() as heard:
            Plain(1).delay()
            connection.commit()
    finally:
        connection.set_autocommit(True)
    assert not heard
    assert Task.objects.count() == 1


# ----- outcomes


@pytest.mark.parametrize(
    ("kind", "signal", "status", "more"),
    [
        (FINISHED, "task_finished", "finished", {}),
        (FAILED, "task_failed", "error", {"error": BOOM}),
        (RETRIED, "task_retried", "new", {"error": BOOM}),
        (POSTPONED, "task_postponed", "new", {}),
        (CANCELLED, "task_cancelled", "cancelled", {"reason": BOOM.message}),
        (CRASHED, "task_rescued", "new", {"reason": BOOM.message}),
    ],
)
def test_an_outcome_is_told_of_once_with_the_row_as_it_is_then(
    kind: str, signal: str, status: str, more: dict[str, Any]
) -> None:
    [task] = claim_new()
    ended = ended_attempt(task, kind)
    with listening() as heard:
        record(ended)
        record(ended)
    assert told(heard) == [(signal, task.id)]
    assert heard[0].sender is Plain
    given = heard[0].task
    assert {**heard[0].values, "task": given} == {"task": given, **more}
    row = row_of(task)
    with CaptureQueriesContext(connection) as queries:
        names = ("status", "attempts", "retries", "postpones", "rescues", "crashes", "lease")
        known = [getattr(given, name) for name in (*names, "arguments")]
    assert not queries.captured_queries
    assert known == [getattr(row, name) for name in (*names, "arguments")]
    assert given.status == status
    assert given.created_at == row.created_at


def test_a_release_is_nobodys_business() -> None:
    [task] = claim_new()
    with listening() as heard:
        record(ended_attempt(task, RELEASED))
    assert not heard


def test_a_stale_outcome_tells_nothing() -> None:
    tasks = claim_new(3)
    rescue()
    with listening() as heard:
        record(ended_attempt(tasks[0]))
        record(ended_attempt(tasks[1], FAILED))
        record_and_claim([ended_attempt(tasks[2])], 1)
    assert not heard


@pytest.mark.parametrize("kind", [FINISHED, FAILED])
def test_an_outcome_that_is_rolled_back_tells_nothing(kind: str) -> None:
    [task] = claim_new()
    with listening() as heard:
        with transaction.atomic():
            record(ended_attempt(task, kind))
            transaction.set_rollback(True)
        assert not heard
        record(ended_attempt(task, kind))
    assert len(heard) == 1


def test_a_finished_task_is_told_of_with_its_result_though_it_is_deleted() -> None:
    tasks = claim_new(2)
    with listening() as heard:
        record(*[ended_attempt(task, result='{"sent": 3}') for task in tasks], delete_finished=True)
    assert told(heard) == [("task_finished", task.id) for task in tasks]
    assert [each.task.result for each in heard] == [{"sent": 3}] * 2
    assert not Task.objects.exists()
    with pytest.raises(Task.DoesNotExist):
        _ = heard[0].task.finished_at


def test_what_is_recorded_together_with_a_claim_is_told_of() -> None:
    done = claim_new(2)
    Plain(8).delay(expires=timedelta(hours=1))
    Task.objects.filter(status="new").update(expires_at=Now() - timedelta(hours=1))
    late = Task.objects.get(status="new")
    with listening() as heard:
        record_and_claim([ended_attempt(task) for task in done], 5)
    assert told(heard) == [
        *(("task_finished", task.id) for task in done),
        ("task_cancelled", late.pk),
    ]


def test_a_task_that_is_given_up_has_failed() -> None:
    [task] = claim_new()
    spent = task._replace(crashes=MAX_RESCUES)
    with listening() as heard:
        record(ended_attempt(spent, CRASHED))
    assert told(heard) == [("task_failed", task.id)]
    assert heard[0].values["error"].message == attempts_of(task)[0].message
    assert heard[0].values["error"].message.startswith("Given up after")


def test_a_retry_that_is_cancelled_instead_is_told_of_as_cancelled() -> None:
    [task] = claim_new()
    lifecycle.request_cancel([task.id])
    with listening() as heard:
        record(ended_attempt(task, RETRIED))
    assert told(heard) == [("task_cancelled", task.id)]
    assert heard[0].values["reason"] == "its end was asked for"
    assert heard[0].task.status == "cancelled"


# ----- cancel, expire, rescue


def test_a_cancel_tells_of_what_waited_and_not_of_what_runs() -> None:
    [running] = claim_new()
    [waiting] = [Plain("other").delay()]
    with listening() as heard:
        lifecycle.request_cancel([running.id, waiting.pk])
        lifecycle.request_cancel([running.id, waiting.pk])
    assert told(heard) == [("task_cancelled", waiting.pk)]
    assert heard[0].values["reason"] == "its end was asked for"
    assert heard[0].sender is Plain


def expire_all() -> None:
    lifecycle.expire()


def claim_all() -> None:
    claim()


def enqueue_the_same() -> None:
    with listening(task_enqueued):
        Unique(0).delay()


@pytest.mark.parametrize("move", [expire_all, claim_all, enqueue_the_same])
def test_expired_tasks_are_cancelled_whoever_meets_them(move: Callable[[], None]) -> None:
    task = Unique(0).delay(expires=timedelta(hours=1))
    Task.objects.update(expires_at=Now() - timedelta(hours=1))
    with listening(task_cancelled) as heard:
        move()
    assert told(heard) == [("task_cancelled", task.pk)]
    assert heard[0].values["reason"] == "it had not started in time"


def test_what_expires_in_a_manager_is_cancelled_for_the_same_reason() -> None:
    [task] = claim_new()
    with listening() as heard:
        record(ended_attempt(task, EXPIRED, error=None))
    assert told(heard) == [("task_cancelled", task.id)]
    assert heard[0].values["reason"] == "it had not started in time"


def test_rescued_orphans_are_told_of_with_the_reason() -> None:
    tasks = claim_new(2)
    with listening() as heard:
        rescue(reason="the power is out")
        rescue()
    assert told(heard) == [("task_rescued", task.id) for task in tasks]
    assert {each.values["reason"] for each in heard} == {"the power is out"}


def test_tasks_that_are_taken_over_are_rescued_and_hopeless_ones_have_failed() -> None:
    hopeless, other = claim_new(2)
    Task.objects.filter(pk=hopeless.id).update(started_at=Now(), crashes=MAX_RESCUES)
    with listening() as heard:
        take_over()
    assert sorted(told(heard)) == [("task_failed", hopeless.id), ("task_rescued", other.id)]


# ----- inline


def test_inline_use_tells_in_the_callers_own_process() -> None:
    enqueue(2)
    first, second = Task.objects.select_for_process()
    with listening() as heard:
        first.run()
        first.complete()
        second.fail(ValueError("no"))
    assert told(heard) == [
        ("task_started", first.pk),
        ("task_finished", first.pk),
        ("task_failed", second.pk),
    ]
    assert heard[-1].values["error"].message == "no"


# ----- nobody is harmed


def test_a_receiver_that_raises_costs_nobody_anything_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def burst(**_: Any) -> None:
        raise ValueError("the receiver is broken")

    with connected(burst), listening() as heard, caplog.at_level(logging.ERROR):
        tasks = Plain.delay_many([(number,) for number in range(3)])
        assert record(*map(ended_attempt, claim())) == set(ids_of(tasks))
    assert len(heard) == 6
    [enqueued, finished] = [r for r in caplog.records if r.name == "django_partisan.signals"]
    assert "burst of task_enqueued raised ValueError" in enqueued.getMessage()
    assert "burst of task_finished raised ValueError" in finished.getMessage()


def test_rows_that_cannot_be_read_keep_their_verb_from_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost() -> Any:
        raise ConnectionError("the row is out of reach")

    tasks = enqueue(2)
    monkeypatch.setattr("django_partisan.lifecycle.telling.task_rows", lost)
    with listening(task_cancelled) as heard:
        assert lifecycle.request_cancel(ids_of(tasks)).cancelled == ids_of(tasks)
    assert not heard
    assert "the row is out of reach" in caplog.text


def test_arguments_that_cannot_be_decoded_are_no_obstacle() -> None:
    [task] = claim_new()
    with listening() as heard:
        record(ended_attempt(task._replace(arguments="{"), FAILED))
    assert told(heard) == [("task_failed", task.id)]


def test_the_sender_of_an_unknown_processor_is_none() -> None:
    [task] = claim_new()
    with listening() as heard:
        record(ended_attempt(task._replace(processor_class="gone.Mail"), FAILED))
    assert heard[0].sender is None
    assert told(heard) == [("task_failed", task.id)]


def test_receivers_of_one_processor_are_told_of_its_tasks_alone() -> None:
    heard: list[Any] = []

    def hear(**values: Any) -> None:
        heard.append(values)

    class Other(Plain):
        pass

    task_finished.connect(hear, sender=Other)
    try:
        record(ended_attempt(claim_new()[0]))
    finally:
        task_finished.disconnect(hear, sender=Other)
    assert not heard


# ----- nobody listens


def finish_one() -> None:
    record(ended_attempt(claim()[0]))


def fail_one() -> None:
    record(ended_attempt(claim()[0], FAILED))


def cancel_one() -> None:
    lifecycle.request_cancel(Task.objects.filter(status="new").values_list("pk", flat=True)[:1])


def delay_one() -> None:
    Plain("another").delay()


def delay_two() -> None:
    Plain.delay_many([("one",), ("two",)])


def finish_and_claim() -> None:
    record_and_claim([ended_attempt(claim()[0])], 1)


@pytest.mark.parametrize(
    ("move", "signals", "added"),
    [
        (finish_one, (task_finished, task_started), 0),
        (fail_one, (), 0),
        (finish_and_claim, (), 0),
        (delay_one, (), 0),
        (delay_two, (), 0),
        (cancel_one, (), 1),
    ],
)
def test_only_what_is_not_at_hand_is_read_and_only_where_somebody_listens(
    move: Callable[[], None], signals: tuple[PartisanSignal, ...], added: int
) -> None:
    counts = []
    for has_listener in (False, True):
        Task.objects.all().delete()
        enqueue(1)
        with CaptureQueriesContext(connection) as queries:
            if has_listener:
                with listening(*signals):
                    move()
            else:
                move()
        # A notification is left out where another one was sent a moment ago.
        counts.append(sum("pg_notify" not in query["sql"] for query in queries))
    assert counts[1] == counts[0] + added
