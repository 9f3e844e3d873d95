"""What tries have printed: stored once for each, told to followers, deleted with its task."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_partisan import lifecycle
from django_partisan.lifecycle import outputs
from django_partisan.models import Follower, Output, Task
from django_partisan.payloads.printed import HEAD_BYTES, TAIL_BYTES, Printed, PrintedText
from django_partisan.settings import QueueSettings
from tests.support.claimed_tasks import claimed_task
from tests.support.factories import (
    MAX_RESCUES,
    OWNER,
    RIVAL,
    claim_new,
    ended_attempt,
)
from tests.support.rows import make_attempt, make_task

pytestmark = pytest.mark.django_db


def text(*chunks: str) -> PrintedText:
    printed, made = Printed(), PrintedText([])
    for chunk in chunks:
        printed.add(chunk.encode())
    made.add(printed)
    return made


def store(task: Task, said: str | PrintedText, lease: int = 1) -> None:
    made = text(said) if isinstance(said, str) else said
    lifecycle.store_outputs([(claimed_task(task.pk, lease=lease, attempts=lease), made)])


def test_what_is_stored_again_of_a_try_takes_the_place_of_what_was_there() -> None:
    task = make_task("in_process")
    store(task, "one\n")
    store(task, "one\ntwo\n")
    store(task, "of the next try\n", lease=2)
    assert [output.text for output in task.output_set.order_by("pk")] == [
        "one\ntwo\n",
        "of the next try\n",
    ]
    assert task.log == "--- attempt 1\none\ntwo\n--- attempt 2\nof the next try\n"


def test_an_attempt_has_the_log_of_its_own_lease() -> None:
    task = make_task("error")
    attempts = [make_attempt(task, number) for number in (1, 2)]
    store(task, "of the second\n", lease=2)
    assert [attempt.log for attempt in attempts] == ["", "of the second\n"]
    assert (make_task().log, task.log) == ("", "of the second\n")


def test_of_a_task_that_is_gone_nothing_is_stored() -> None:
    task = make_task("in_process")
    there = make_task("in_process")
    Task.objects.filter(pk=task.pk).delete()
    gone, kept = claimed_task(999_999_999), claimed_task(there.pk)
    lifecycle.store_outputs([(gone, text("a")), (kept, text("b"))])
    assert [output.task_id for output in Output.objects.all()] == [there.pk]


def test_it_is_pruned_with_its_task() -> None:
    old, new = make_task("finished", ended_ago=1000), make_task("finished", ended_ago=1)
    for task in (old, new):
        store(task, "said")
        Follower.objects.create(task=task, until=timezone.now())
    lifecycle.prune("default", QueueSettings(KEEP_FINISHED_SECONDS=100))
    assert [output.task_id for output in Output.objects.all()] == [new.pk]
    assert [follower.task_id for follower in Follower.objects.all()] == [new.pk]


def test_the_output_of_former_tries_goes_with_a_task_that_is_deleted_when_it_has_finished() -> None:
    [task] = claim_new()
    store(Task.objects.get(pk=task.id), "said", lease=task.lease)
    Task.objects.filter(pk=task.id).update(lease=task.lease + 1)
    again = task._replace(lease=task.lease + 1)
    lifecycle.record([ended_attempt(again)], delete_finished=True, max_rescues=MAX_RESCUES)
    assert not Task.objects.filter(pk=task.id).exists()
    assert not Output.objects.exists()


def test_for_a_first_try_that_finished_nothing_is_looked_for() -> None:
    tasks = claim_new(3)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        lifecycle.record(
            [ended_attempt(task) for task in tasks], delete_finished=True, max_rescues=MAX_RESCUES
        )
    assert not [query for query in queries if "output" in query["sql"]]


# ----- followers -----


def test_a_manager_is_asked_for_what_it_holds_and_somebody_follows() -> None:
    first, second, third = claim_new(3)
    now = timezone.now()
    for task, seconds in ((first, 60), (second, -60)):
        until = now + timedelta(seconds=seconds)
        Follower.objects.create(task_id=task.id, until=until)
    lifecycle.request_cancel([third.id])
    requests = lifecycle.requests_to(OWNER)
    assert requests == {third.id: third.lease}
    assert requests.followed == {first.id}
    assert lifecycle.requests_to(RIVAL).followed == frozenset()


def test_following_is_one_row_while_it_lasts_and_clears_away_what_others_left() -> None:
    task = make_task("in_process")
    Follower.objects.create(task=task, until=timezone.now() - timedelta(hours=1))
    followed = task.follow_log()
    assert next(followed) == ""
    [row] = Follower.objects.all()
    assert row.until > timezone.now()
    followed.close()  # type: ignore[attr-defined]
    assert not Follower.objects.exists()


def test_a_follower_is_told_everything_once_of_each_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "LOOK_SECONDS", 0.0)
    task = make_task("in_process")
    store(task, "before\n")
    followed = outputs.follow_output(task.pk, 0.0)
    assert next(followed) == "before\n"
    assert next(followed) == ""
    store(task, "before\nthen\n")
    assert next(followed) == "then\n"
    store(task, "next try\n", lease=2)
    assert next(followed) == "--- attempt 2\nnext try\n"
    store(task, "next try\nits end\n", lease=2)
    Task.objects.filter(pk=task.pk).update(status="finished", finished_at=timezone.now())
    assert list(followed) == ["its end\n"]


def test_a_follower_is_told_what_was_left_out_between_two_looks() -> None:
    task = make_task("in_process")
    made = text("begin\n")
    store(task, made)
    followed = outputs.follow_output(task.pk, 0.0)
    told = [next(followed)]
    for number in range(8):
        more = Printed()
        for line in range(10_000):
            more.add(b"%d %d\n" % (number, line))
        made.add(more)
        if number % 2:
            store(task, made)
            told.append(next(followed))
    Task.objects.filter(pk=task.pk).update(status="finished", finished_at=timezone.now())
    told += followed
    whole = "".join(told)
    assert told[0] == "begin\n"
    assert whole.endswith("7 9999\n")
    assert len(made.head) <= HEAD_BYTES
    assert len(made.tail) <= TAIL_BYTES
    lines = [line for line in whole.splitlines() if line]
    numbered = [line for line in lines if line[0].isdigit() and " " in line]
    assert len(set(numbered)) == len(numbered), "nothing twice"


def test_following_a_task_that_is_not_there_ends_at_once() -> None:
    assert list(outputs.follow_output(999_999_999)) == [""]
