"""The agreement between manager and worker over who has an unstarted task."""

import os
from collections.abc import Iterator
from typing import Any, cast

import pytest

from django_partisan.attempt import ClaimedTask, Interim
from django_partisan.exceptions import TaskTimedOut
from django_partisan.manager.pool.launcher_client import LauncherClient
from django_partisan.manager.pool.worker_handle import WorkerHandle
from django_partisan.wire.messages import Retired, cancels_in, give_backs_in, message_of
from django_partisan.worker import Worker
from django_partisan.worker.process import WorkerOptions
from tests.support.claimed_tasks import claimed_task, finished_outcome

OPTIONS = WorkerOptions(title="test", max_tasks=None, max_memory_mb=None)
TASKS = [claimed_task(number) for number in range(1, 6)]


@pytest.fixture
def handle() -> Iterator[WorkerHandle]:
    handle = WorkerHandle(1, 0.0, cast("LauncherClient", None))
    yield handle
    handle.close()


@pytest.fixture
def worker(handle: WorkerHandle) -> Worker:
    """The other end, driven by the test instead of running tasks."""
    _, tokens, requests = handle.descriptors
    return Worker(handle.theirs, os.dup(tokens), os.dup(requests), OPTIONS)


def chunk(*tasks: ClaimedTask) -> list[tuple[ClaimedTask, float | None]]:
    return [(task, 0.001) for task in tasks]


def report(worker: Worker, task: ClaimedTask) -> None:
    worker._channel.send(message_of(finished_outcome(task)))


def test_what_was_not_started_comes_back_in_order(handle: WorkerHandle, worker: Worker) -> None:
    handle.hand_out(chunk(*TASKS), now=0)
    assert worker._take_token(0)
    assert handle.take_back() == TASKS[1:]
    assert handle.running == TASKS[0]


def test_the_worker_does_not_start_what_was_taken_back(
    handle: WorkerHandle, worker: Worker
) -> None:
    handle.hand_out(chunk(*TASKS), now=0)
    assert worker._take_token(0)
    handle.take_back()
    assert not worker._take_token(0)


def test_a_token_of_the_next_chunk_does_not_revive_a_chunk_that_was_taken_back(
    handle: WorkerHandle, worker: Worker
) -> None:
    handle.hand_out(chunk(*TASKS[:3]), now=0)
    assert worker._take_token(0)
    handle.take_back()
    handle.hand_out(chunk(TASKS[3], TASKS[4]), now=0)
    assert not worker._take_token(0), "the second task of the first chunk is not the worker's"
    assert worker._take_token(1)
    assert worker._take_token(1)
    assert not worker._take_token(1)


def test_a_whole_chunk_that_was_never_begun_comes_back_from_behind_the_running_one(
    handle: WorkerHandle, worker: Worker
) -> None:
    handle.hand_out(chunk(TASKS[0], TASKS[1]), now=0)
    handle.hand_out(chunk(TASKS[2]), now=0)
    assert worker._take_token(0)
    assert handle.take_back() == [TASKS[1], TASKS[2]]


def test_nothing_comes_back_twice(handle: WorkerHandle) -> None:
    handle.hand_out(chunk(*TASKS), now=0)
    assert handle.take_back() == TASKS
    assert handle.take_back() == []
    assert not handle.in_hand


def test_reports_empty_the_hand_and_the_backlog(handle: WorkerHandle, worker: Worker) -> None:
    handle.hand_out(chunk(TASKS[0], TASKS[1]), now=0)
    for task in TASKS[:2]:
        report(worker, task)
    reported = [task for task, _ in handle.receive(now=1)]
    assert reported == TASKS[:2]
    assert not handle.in_hand
    assert handle.backlog_seconds == 0
    assert handle.changed_at == 1


def test_a_task_of_unknown_length_keeps_others_away_until_it_has_ended(
    handle: WorkerHandle, worker: Worker
) -> None:
    handle.hand_out([(TASKS[0], None)], now=0)
    assert handle.is_exclusive
    report(worker, TASKS[0])
    handle.receive(now=1)
    assert not handle.is_exclusive


def test_chunk_numbers_start_over_without_confusion(handle: WorkerHandle, worker: Worker) -> None:
    for number in range(300):
        handle.hand_out(chunk(TASKS[0]), now=0)
        assert worker._take_token(number % 256)
        report(worker, TASKS[0])
        assert len(handle.receive(now=0)) == 1


def test_a_retiring_worker_gets_nothing_more(handle: WorkerHandle, worker: Worker) -> None:
    assert handle.accepts
    worker._channel.send(message_of(Retired()))
    handle.receive(now=0)
    assert not handle.accepts


@pytest.mark.parametrize(
    "message",
    [
        7,
        None,
        (),
        "retired",
        {0: "retired"},
        ("finished", 1, 1),
        ("done", *message_of(finished_outcome(TASKS[0]))[1:]),
        (*message_of(finished_outcome(TASKS[0]))[:-1], ("an", "error", "half \ud800")),
        message_of(finished_outcome(TASKS[1])),
        message_of(finished_outcome(TASKS[0]._replace(lease=2))),
    ],
    ids=[
        "number",
        "nothing",
        "empty",
        "word",
        "dict",
        "too short",
        "of no kind",
        "of what cannot be stored",
        "of another task",
        "of another claim",
    ],
)
def test_a_worker_that_says_what_no_worker_says_is_gone(
    handle: WorkerHandle, worker: Worker, message: Any
) -> None:
    handle.hand_out(chunk(TASKS[0], TASKS[1]), now=0)
    worker._channel.send(message)
    assert handle.receive(now=1) == []
    assert handle.is_gone
    assert handle.running == TASKS[0]


@pytest.mark.parametrize(
    "limit", [("soon", 1.0, 1.0, 1), (1.0, float("nan"), 1.0, 1), (1.0, 10**400, 1, 1)]
)
def test_a_time_limit_that_nobody_can_calculate_with_ends_the_worker_and_not_the_manager(
    handle: WorkerHandle, worker: Worker, limit: tuple[Any, ...]
) -> None:
    handle.hand_out(chunk(TASKS[0]), now=0)
    worker._channel.send(("limited", *limit))
    assert handle.receive(now=1) == []
    assert handle.is_gone
    assert not handle.hard_limits


def test_a_report_of_nothing_in_hand_ends_the_worker_and_not_the_manager(
    handle: WorkerHandle, worker: Worker
) -> None:
    report(worker, TASKS[0])
    assert handle.receive(now=1) == []
    assert handle.is_gone


def test_the_snapshot_says_what_the_worker_runs_and_for_how_long(
    handle: WorkerHandle, worker: Worker
) -> None:
    idle = {"worker": 1, "pid": None}
    assert handle.snapshot(now=1) == idle
    handle.hand_out(chunk(*TASKS[:2]), now=1)
    told = {"task": TASKS[0].id, "lease": TASKS[0].lease, "processor": "shop.Mail", "seconds": 1.5}
    assert handle.snapshot(now=2.5) == {**idle, **told}
    report(worker, TASKS[0])
    handle.receive(now=3)
    assert handle.snapshot(now=3.25) == {**idle, **told, "task": TASKS[1].id, "seconds": 0.25}


def test_a_hard_limit_ends_with_the_task_it_was_for(handle: WorkerHandle, worker: Worker) -> None:
    handle.hand_out(chunk(TASKS[0]), now=0)
    worker._tell_limited(100.0, 5.0, 2.0, TASKS[0].id)
    handle.receive(now=0)
    limit = handle.hard_limits[TASKS[0].id]
    assert (limit.kill_at, limit.started) == (107.0, 100.0)
    assert isinstance(limit.error, TaskTimedOut)
    report(worker, TASKS[0])
    handle.receive(now=0)
    assert not handle.hard_limits


def test_a_worker_over_its_limit_gets_nothing_more(handle: WorkerHandle) -> None:
    handle.kill_over_limit(now=0)
    assert not handle.accepts


def test_a_worker_that_is_to_stop_its_task_gets_no_other_until_it_has(
    handle: WorkerHandle, worker: Worker
) -> None:
    handle.hand_out(chunk(TASKS[0]), now=0)
    handle.cancel(TASKS[0], grace=3.0, now=10.0)
    assert not handle.accepts
    assert handle.kill_at == 13.0
    worker._tell_limited(12.0, 50.0, 2.0, TASKS[0].id)
    handle.receive(now=12)
    assert handle.is_cancelling, "a limit that begins later does not make it go on"
    assert cancels_in(os.read(handle.descriptors[2], 100)) == [(TASKS[0].id, TASKS[0].lease)]
    report(worker, TASKS[0])
    handle.receive(now=13)
    assert handle.accepts


def test_a_limit_that_ends_sooner_than_the_grace_still_holds(
    handle: WorkerHandle, worker: Worker
) -> None:
    handle.hand_out(chunk(TASKS[0]), now=0)
    worker._tell_limited(1.0, 1.0, 2.0, TASKS[0].id)
    handle.receive(now=2)
    handle.cancel(TASKS[0], grace=30.0, now=3.0)
    limit = handle.hard_limits[TASKS[0].id]
    assert (limit.kill_at, limit.started) == (4.0, 1.0)


def test_requests_that_nobody_reads_are_left_out(handle: WorkerHandle) -> None:
    for _ in range(10_000):
        handle.cancel(TASKS[0], grace=3.0, now=10.0)
    handle.close_theirs()
    handle.cancel(TASKS[0], grace=3.0, now=10.0)


def test_each_task_in_hand_is_asked_back_once(handle: WorkerHandle) -> None:
    handle.hand_out(chunk(*TASKS[:2]), now=0)
    for _ in range(3):
        handle.ask_back(lambda task: task is TASKS[0])
    assert give_backs_in(os.read(handle.descriptors[2], 100)) == [TASKS[0][:2]]
    handle.ask_back(lambda _: True)
    assert give_backs_in(os.read(handle.descriptors[2], 100)) == [TASKS[1][:2]]
    assert handle.accepts, "it is for the task to say whether it stops"


def test_what_a_task_in_hand_tells_is_taken_in_and_nothing_else(
    handle: WorkerHandle, worker: Worker
) -> None:
    handle.hand_out(chunk(TASKS[0]), now=0)
    mine = Interim(*TASKS[0][:2], 1.0, 5.0)
    for interim in (mine, mine._replace(lease=mine.lease + 1), mine._replace(task_id=10**6)):
        worker._interims._send(interim)
    assert handle.receive(now=1) == []
    assert handle.told == [mine]
    report(worker, TASKS[0])
    worker._interims._send(mine)
    assert len(handle.receive(now=2)) == 1
    assert handle.told == [mine], "what comes after its end is left out"
    assert not handle.is_gone
