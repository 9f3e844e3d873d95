"""Recording and claiming in one statement goes on beside the loop, and nothing is lost by that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from django_partisan import lifecycle
from django_partisan.attempt import FINISHED, ClaimedTask
from django_partisan.manager import WorkersManager
from django_partisan.manager.claiming import cursors
from django_partisan.manager.claiming.wakeup import GATHER_SECONDS
from django_partisan.models import Task
from tests.support.duties import claimer_of, takeover_of
from tests.support.factories import ended_attempt, enqueue, row_of, statuses
from tests.support.helpers import HANG_SECONDS, wait_until
from tests.support.later_version import LaterVersion, columns, index, managers
from tests.support.manager_rows import Clock
from tests.support.managing import managing, turn

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def manager() -> Iterator[WorkersManager]:
    """Return a manager that claims two tasks at a time."""
    with managing(min_queue_size=1, max_queue_size=2) as made:
        yield made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return a clock that stands still until the test moves it, for everything in this process."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


@pytest.fixture
def stream(clock: Clock) -> Iterator[WorkersManager]:
    """Return a manager for whom two tasks at once are a stream."""
    with managing(workers_count=1) as made:
        yield made


def begin(manager: WorkersManager) -> ClaimedTask:
    """Claim two tasks, end the first, and begin to record it with the claim of a third."""
    enqueue(3)
    turn(manager)
    done = manager.queue.get()
    end(manager, done)
    turn(manager)
    return done


def end_a_stream(manager: WorkersManager) -> None:
    """Claim three tasks at once, and end them."""
    enqueue(3)
    turn(manager)
    for task in manager.queue.take_all():
        end(manager, task)


def end(manager: WorkersManager, task: ClaimedTask, kind: str = FINISHED) -> None:
    manager.round_trip.ended(task, ended_attempt(task, kind).outcome)


def test_recording_and_claiming_go_on_beside_the_loop(manager: WorkersManager) -> None:
    done = begin(manager)
    assert manager.link.is_busy
    assert manager.queue.qsize() == 1
    manager.link.finish(time.monotonic())
    assert manager.queue.qsize() == 2
    assert row_of(done).status == "finished"
    assert manager.recorder.counts == {"finished": 1}


@pytest.mark.postgresql
def test_what_ends_in_a_stream_of_tasks_is_recorded_with_the_next_claim(
    stream: WorkersManager, clock: Clock
) -> None:
    end_a_stream(stream)
    turn(stream)
    assert len(stream.recorder) == 3, "a claim is near, so a statement of its own is spared"
    enqueue(4)
    clock.now += GATHER_SECONDS
    assert claimer_of(stream).may_survey(clock.now)
    with CaptureQueriesContext(stream.link.connection) as queries:
        turn(stream)
        assert stream.link.is_busy
        stream.link.finish(time.monotonic())
    assert len(queries) == 1, "neither a survey nor anything else"
    assert sorted(statuses()) == ["finished"] * 3 + ["in_process"] * 4


@pytest.mark.postgresql
def test_what_ends_by_itself_is_recorded_at_once(stream: WorkersManager) -> None:
    enqueue(1)
    turn(stream)
    end(stream, stream.queue.get())
    turn(stream)
    assert statuses() == ["finished"]


@pytest.mark.postgresql
def test_what_ends_in_a_stream_is_recorded_at_once_when_no_claim_may_follow(
    stream: WorkersManager,
) -> None:
    end_a_stream(stream)
    with stream.link.attempt(now := time.monotonic()):
        stream.standing.is_stopping = True
        stream.round_trip.turn(now)
    assert statuses() == ["finished"] * 3


@pytest.mark.postgresql
@pytest.mark.parametrize(("seconds", "is_due"), [(60.0, False), (0.0, True)])
def test_a_stream_is_surveyed_only_when_a_busy_manager_would_survey(
    stream: WorkersManager,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    is_due: bool,
) -> None:
    monkeypatch.setattr(cursors, "_BUSY_SECONDS", seconds)
    monkeypatch.setattr(cursors, "_SHARE", 1.0)
    enqueue(3)
    turn(stream)
    stream.queue.take_all()
    enqueue(3)
    clock.now += GATHER_SECONDS
    turn(stream)
    assert stream.queue.qsize() == 3
    assert claimer_of(stream).must_look_ahead is is_due


@pytest.mark.postgresql
def test_nothing_gathers_where_no_notification_wakes_the_manager(settings: Any) -> None:
    settings.PARTISAN_NOTIFY = False
    with managing(workers_count=1) as polling:
        enqueue(3)
        turn(polling)
        assert polling.queue.qsize() == 3
        assert polling.queues.listener.next_check() == float("inf")


def test_the_loop_wakes_up_with_the_answer(manager: WorkersManager) -> None:
    def is_answered() -> bool:
        manager.wait()
        return not manager.link.is_busy

    begin(manager)
    wait_until(is_answered)
    assert statuses() == ["finished", "in_process", "in_process"]


def test_an_outcome_that_arrives_meanwhile_is_recorded_by_the_next_statement(
    manager: WorkersManager,
) -> None:
    done = begin(manager)
    late = manager.queue.get()
    end(manager, late)
    manager.link.finish(time.monotonic())
    assert manager.recorder.ids() == {late.id}
    with manager.link.attempt(time.monotonic()):
        manager.recorder.flush(time.monotonic())
    assert {row_of(task).status for task in (done, late)} == {"finished"}
    assert manager.recorder.counts == {"finished": 2}


def test_whoever_uses_the_database_next_waits_for_the_answer(
    manager: WorkersManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    prepare = lifecycle.record_and_claim

    def slow(*args: object) -> object:
        call = prepare(*args)  # type: ignore[arg-type]
        return lambda: may_go_on.wait(HANG_SECONDS) and call()

    monkeypatch.setattr(lifecycle, "record_and_claim", slow)
    begin(manager)
    threading.Timer(0.1, may_go_on.set).start()
    assert manager.link.ready(time.monotonic())
    assert statuses() == ["finished", "in_process", "in_process"]


def test_who_lost_the_registration_meanwhile_does_not_run_what_was_claimed_under_it(
    manager: WorkersManager,
) -> None:
    begin(manager)
    former = manager.heartbeat.manager_id
    manager.heartbeat.lose()
    manager.queue.take_all()
    manager.link.finish(time.monotonic())
    assert manager.queue.qsize() == 0
    assert Task.objects.filter(manager_id=former, status="in_process").count() == 2
    manager.heartbeat.register()
    takeover_of(manager).turn(time.monotonic())
    assert manager.queue.qsize() == 2


def test_an_outcome_that_the_database_refuses_does_not_hold_up_the_others(
    manager: WorkersManager,
) -> None:
    enqueue(3)
    turn(manager)
    good, bad = manager.queue.take_all()
    end(manager, good)
    outcome = ended_attempt(bad, result="no JSON").outcome
    manager.round_trip.ended(bad, outcome)
    turn(manager)
    assert manager.link.is_busy
    manager.link.finish(time.monotonic())
    assert row_of(good).status == "finished"
    assert row_of(bad).status == "error"
    assert manager.link.is_up


def end_by_the_server(manager: WorkersManager) -> None:
    manager.link.connection.cursor().execute("SELECT pg_terminate_backend(pg_backend_pid())")


def end_by_django(manager: WorkersManager) -> None:
    manager.link.connection.close()
    raise OperationalError("the connection is closed")


@pytest.mark.parametrize(
    "end_session",
    [pytest.param(end_by_the_server, marks=pytest.mark.postgresql), end_by_django],
)
@pytest.mark.parametrize("has_arrived", [False, True])
def test_a_connection_that_breaks_meanwhile_keeps_every_outcome_and_every_task(
    manager: WorkersManager,
    monkeypatch: pytest.MonkeyPatch,
    end_session: Callable[[WorkersManager], None],
    has_arrived: bool,
) -> None:
    prepare = lifecycle.record_and_claim

    def lost(*args: object) -> object:
        call = prepare(*args)  # type: ignore[arg-type]

        def break_off() -> None:
            if has_arrived:
                call()
            end_session(manager)

        return break_off

    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "record_and_claim", lost)
        done = begin(manager)
        manager.link.finish(time.monotonic())
    assert not manager.link.is_up
    assert manager.recorder.ids() == {done.id}
    assert manager.link.ready(time.monotonic() + 10)
    # What a lost answer would have told of is in the queue; what is known already not once more.
    waiting = [task.id for task in manager.queue.take_all()]
    assert sorted(waiting) == sorted(set(waiting))
    assert done.id not in waiting
    assert len(waiting) == (2 if has_arrived else 1)
    manager.recorder.flush(time.monotonic())
    assert row_of(done).status == "finished"
    assert not len(manager.recorder)


@pytest.mark.postgresql
def test_a_session_that_django_has_opened_by_itself_is_left_alone_and_replaced(
    manager: WorkersManager,
) -> None:
    assert manager.link.ready(time.monotonic())
    with manager.link.attempt(time.monotonic()):
        # As it happens where an error is swallowed that was the end of the session.
        manager.link.connection.close()
        manager.link.connection.ensure_connection()
    manager.wait()
    assert manager.link.ready(time.monotonic())
    assert manager.link.connects == 2


@pytest.mark.postgresql
def test_the_statements_of_the_loop_are_planned_once(manager: WorkersManager) -> None:
    begin(manager)
    manager.link.finish(time.monotonic())
    assert planned(manager) == {"partisan_claim": (1, 0), "partisan_finish_and_claim": (1, 0)}


@pytest.mark.postgresql
def test_kept_plans_outlive_the_migrations_of_a_later_version(manager: WorkersManager) -> None:
    begin(manager)
    manager.link.finish(time.monotonic())
    later = LaterVersion()
    try:
        for number, migration in enumerate((columns(), index(), managers()), start=2):
            later.apply(migration)
            for done in manager.queue.take_all():
                end(manager, done)
            enqueue(2)
            turn(manager)
            manager.link.finish(time.monotonic())
            assert planned(manager)["partisan_finish_and_claim"] == (number, 0)
    finally:
        manager.queue.take_all()
        later.undo()
    assert manager.link.is_up
    assert manager.link.connects == 1


@pytest.mark.postgresql
def test_a_session_whose_plans_a_migration_has_spoilt_is_replaced(manager: WorkersManager) -> None:
    begin(manager)
    manager.link.finish(time.monotonic())
    alter_priority("bigint")
    try:
        manager.queue.take_all()
        enqueue(2)
        for _ in range(2):
            with manager.link.attempt(time.monotonic() - 10):
                manager.round_trip.turn(time.monotonic())
        assert not manager.link.is_up
        assert manager.link.ready(time.monotonic() + 10)
        assert manager.link.connects == 2
        with manager.link.attempt(time.monotonic()):
            manager.round_trip.turn(time.monotonic())
        assert manager.link.is_up
    finally:
        alter_priority("integer")


def planned(manager: WorkersManager) -> dict[str, tuple[int, int]]:
    """Return how often the manager's session has used a kept plan, and made one of its own."""
    with manager.link.connection.cursor() as cursor:
        cursor.execute("SELECT name, generic_plans, custom_plans FROM pg_prepared_statements")
        return {name: (generic, custom) for name, generic, custom in cursor.fetchall()}


def alter_priority(kind: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE django_partisan_task ALTER COLUMN priority TYPE {kind}")
