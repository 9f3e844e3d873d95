"""A duty beside claiming and recording fails for itself: told once, in nobody's way."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest
from django.db import Error, OperationalError, connection

from django_partisan.attempt import ClaimedTask
from django_partisan.config.const import NEVER
from django_partisan.manager import WorkersManager
from django_partisan.manager.duties.side_duty import SideDuty
from django_partisan.models import Task
from tests.support.factories import ended_attempt, enqueue, statuses
from tests.support.helpers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


class Duty:
    """A duty that does what a test says."""

    def __init__(self) -> None:
        self.deadline = 0.0
        self.error: Exception | None = None
        self.turns = 0

    def next_deadline(self) -> float:
        return self.deadline

    def turn(self, now: float) -> None:
        self.turns += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def manager(settings: object) -> Iterator[WorkersManager]:
    """Return a registered manager of a connected link, without workers."""
    settings.PARTISAN_CONFIG = {"default": {"KEEP_FINISHED_SECONDS": 0}}  # type: ignore[attr-defined]
    made = WorkersManager()
    made.pool.launcher.has_booted = True
    made.pool._is_stopping = True  # no worker is started
    assert made.link.ready(time.monotonic())
    yield made
    made.heartbeat.deregister()
    made.link.end()
    made.selector.close()


@pytest.fixture
def duty() -> Duty:
    return Duty()


@pytest.fixture
def side(duty: Duty, manager: WorkersManager) -> SideDuty:
    return SideDuty(duty, "the duty", manager.link)


def next_claim(manager: WorkersManager) -> list[ClaimedTask]:
    """Go once round the loop, and take what it has claimed."""
    manager.turn(time.monotonic())
    manager.wait()
    return manager.queue.take_all()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_reason_is_told_once_and_the_pauses_grow(
    side: SideDuty, duty: Duty, caplog: pytest.LogCaptureFixture
) -> None:
    duty.error, now, pauses = OperationalError("row 1 is locked"), 1000.0, []
    for number in range(12):
        duty.error = OperationalError(f"row {number} is locked")
        side.turn(now)
        pauses.append(side.next_deadline() - now)
        now = side.next_deadline()
    assert duty.turns == 12
    assert told(caplog) == [
        "the duty failed, and is tried again later; everything else goes on: row 0 is locked"
    ]
    assert 0.9 <= pauses[0] <= 1.0
    assert 54 <= pauses[-1] <= 60
    duty.error = ValueError("quite another one")
    side.turn(now)
    assert len(told(caplog)) == 2
    assert caplog.records[-1].exc_info is not None, "a fault of the code is told with its traceback"


def test_it_is_left_alone_until_it_may_be_tried_again_and_told_when_it_works(
    side: SideDuty, duty: Duty, caplog: pytest.LogCaptureFixture
) -> None:
    duty.error = OperationalError("no")
    side.turn(1000.0)
    side.turn(1000.5)
    assert duty.turns > 0
    duty.error = None
    side.turn(side.next_deadline())
    assert told(caplog)[1:] == ["the duty works again"]
    assert side.next_deadline() <= 1001.0
    duty.deadline = NEVER
    assert side.next_deadline() == NEVER


def test_a_session_that_is_lost_is_an_outage_and_not_the_duty_s_fault(
    side: SideDuty, duty: Duty, manager: WorkersManager
) -> None:
    duty.error = OperationalError("the connection is closed")
    manager.link.connection.close()
    with pytest.raises(Error, match="the connection is closed"):
        side.turn(1000.0)


def test_pruning_that_fails_costs_claiming_and_recording_nothing(
    manager: WorkersManager, refusing_deletes: None, caplog: pytest.LogCaptureFixture
) -> None:
    Task.objects.create(status="finished", processor_class="x", finished_at="2001-01-01T00:00:00Z")
    for _ in range(3):
        [waiting] = enqueue(1)
        [task] = wait_until(lambda: next_claim(manager))
        assert task.id == waiting.id
        manager.round_trip.ended(task, ended_attempt(task).outcome)
    wait_until(lambda: not next_claim(manager) and not len(manager.recorder))
    assert statuses() == ["finished"] * 4
    assert [text for text in told(caplog) if "pruning failed" in text] == told(caplog)
    assert len(told(caplog)) == 1
    assert manager.link.is_up


def test_what_becomes_due_during_a_wait_is_done_without_another_event(
    manager: WorkersManager, side: SideDuty, duty: Duty
) -> None:
    duty.deadline = NEVER
    manager._side_duties = (*manager._side_duties, side)
    wait_until(lambda: next_claim(manager) or manager._sides_due_at > time.monotonic())
    manager.turn(time.monotonic())
    assert not duty.turns
    duty.deadline = 0.0  # An event of a wait makes a duty due, after its deadline was asked for.
    manager.wait()
    manager.turn(time.monotonic())
    assert duty.turns > 0


@pytest.fixture
def refusing_deletes(transactional_db: None) -> Iterator[None]:
    """Have the database refuse to delete tasks, as a project's own constraint might."""
    run = connection.cursor().execute
    if connection.vendor == "sqlite":
        run(
            "CREATE TRIGGER keep_tasks BEFORE DELETE ON django_partisan_task "
            "BEGIN SELECT RAISE(ABORT, 'tasks are kept'); END"
        )
    else:
        run(
            "CREATE FUNCTION keep_tasks() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'tasks are kept'; END $$"
        )
        run(
            "CREATE TRIGGER keep_tasks BEFORE DELETE ON django_partisan_task "
            "FOR EACH ROW EXECUTE FUNCTION keep_tasks()"
        )
    yield
    run = connection.cursor().execute
    if connection.vendor == "sqlite":
        run("DROP TRIGGER keep_tasks")
    else:
        run("DROP TRIGGER keep_tasks ON django_partisan_task")
        run("DROP FUNCTION keep_tasks()")
