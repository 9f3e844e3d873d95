"""Orphans run again: through a peer that rescues them, or a successor that takes them over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.test import override_settings

from django_partisan import lifecycle
from django_partisan.manager import WorkersManager
from django_partisan.manager import heartbeat as heartbeat_module
from django_partisan.manager.duties import rescue as rescue_module
from django_partisan.manager.duties.side_duty import SideDuty
from django_partisan.models import ManagerProcess
from tests.support.duties import rescue_of, takeover_of
from tests.support.factories import enqueue, ids_of, row_of, statuses
from tests.support.manager_rows import STATE, Clock, grow_old, id_of, row, taken_by

pytestmark = pytest.mark.django_db(transaction=True)

Make = Callable[..., WorkersManager]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that registrations and beats go by."""
    clock = Clock()
    monkeypatch.setattr(heartbeat_module, "time", clock)
    return clock


@pytest.fixture
def registered() -> Iterator[Make]:
    """Return a function that makes a registered manager without workers, by PARTISAN_ settings."""
    made = []

    def make(queue_name: str = "default", **settings: Any) -> WorkersManager:
        named = {f"PARTISAN_{name}": value for name, value in settings.items()}
        with override_settings(**named):
            manager = WorkersManager(queue_name=queue_name)
        manager.pool.launcher.has_booted = True
        manager.heartbeat.register()
        manager.standing.owes_takeover = bool(manager.heartbeat.predecessors)
        made.append(manager)
        return manager

    yield make
    for manager in made:
        manager.link.end()
        manager.selector.close()


def test_orphans_wait_until_the_rescuers_own_beats_have_proven_the_database(
    clock: Clock, registered: Make
) -> None:
    dead = row(boot_id="another boot", node_name="elsewhere")
    task = taken_by(dead.pk)
    grow_old(dead.pk)
    made = registered(DEAD_AFTER_SECONDS=30.0)
    rescue = rescue_of(made)
    clock.now += 10
    assert made.heartbeat.beat(STATE, {})
    rescue.turn(clock.now)
    assert row_of(task).status == "in_process"
    for _ in range(3):
        clock.now += 10
        assert made.heartbeat.beat(STATE, {})
    rescue.turn(clock.now)
    assert row_of(task).status == "new"
    assert not ManagerProcess.objects.filter(pk=dead.pk).exists()


def test_orphans_that_are_more_than_a_batch_are_rescued_without_a_pause(
    clock: Clock, registered: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescue_module, "RESCUE_BATCH", 2)
    dead = row(boot_id="another boot", node_name="elsewhere")
    tasks = [taken_by(dead.pk) for _ in range(3)]
    grow_old(dead.pk)
    made = registered(
        DEAD_AFTER_SECONDS=130.0, HEARTBEAT_SECONDS=60.0, RESCUE_INTERVAL_SECONDS=10.0
    )
    rescue = rescue_of(made)
    living = row(boot_id="another boot", node_name="south")
    for _ in range(3):
        clock.now += 50
        assert made.heartbeat.beat(STATE, {})
    rescue.turn(clock.now)
    assert [row_of(task).status for task in tasks] == ["new", "new", "in_process"]
    assert ManagerProcess.objects.filter(pk=dead.pk).exists(), "it holds a task still"
    assert rescue.next_deadline() <= clock.now
    rescue.turn(clock.now)
    assert row_of(tasks[-1]).status == "new"
    mine = id_of(made.heartbeat)
    assert set(ManagerProcess.objects.values_list("pk", flat=True)) == {living.pk, mine}
    grow_old(living.pk)
    taken_by(living.pk)
    assert made.heartbeat.beat(STATE, {})
    assert rescue.next_deadline() == clock.now + 10, "not at once"


def test_after_a_gap_in_ones_own_beats_nobody_is_judged_for_a_while(
    clock: Clock, registered: Make
) -> None:
    made = registered(DEAD_AFTER_SECONDS=30.0)
    rescue = rescue_of(made)
    clock.now += 25
    assert made.heartbeat.beat(STATE, {})
    clock.now += 10
    stranger = row(boot_id="another boot").pk
    task = taken_by(stranger)
    grow_old(stranger, 60)
    assert made.heartbeat.beat(STATE, {})
    rescue.turn(clock.now)
    assert rescue.next_deadline() > clock.now
    assert row_of(task).status == "in_process"


def test_what_a_living_peer_holds_is_left_alone(clock: Clock, registered: Make) -> None:
    made = registered(DEAD_AFTER_SECONDS=30.0)
    task = taken_by(row(boot_id="another boot", node_name="elsewhere").pk)
    for _ in range(3):
        clock.now += 12
        made.heartbeat.beat(STATE, {})
    rescue_of(made).turn(clock.now)
    assert row_of(task).status == "in_process"


def test_a_manager_that_stops_rescues_nobody(clock: Clock, registered: Make) -> None:
    dead = row(boot_id="another boot", node_name="elsewhere")
    task = taken_by(dead.pk)
    grow_old(dead.pk)
    made = registered(DEAD_AFTER_SECONDS=30.0)
    for _ in range(4):
        clock.now += 10
        assert made.heartbeat.beat(STATE, {})
    made.standing.is_stopping = True
    rescue_of(made).turn(clock.now)
    assert row_of(task).status == "in_process"


# --- taking over


def test_what_was_held_under_a_lost_registration_is_taken_over(registered: Make) -> None:
    made = registered()
    task = taken_by(id_of(made.heartbeat))
    made.heartbeat.lose()
    made.heartbeat.register()
    takeover_of(made).turn(time.monotonic())
    assert ids_of(made.queue.take_all()) == [task]
    assert row_of(task).manager_id == made.heartbeat.manager_id


def test_orphans_of_a_queue_that_is_not_served_go_back_to_it(registered: Make) -> None:
    dead = row()
    task = taken_by(dead.pk)
    made = registered("other")
    takeover_of(made).turn(time.monotonic())
    assert made.queue.qsize() == 0
    assert made.heartbeat.predecessors == []
    assert made.standing.may_claim, "its own tasks have their turn from now on"
    assert row_of(task).status == "new"
    assert not ManagerProcess.objects.filter(pk=dead.pk).exists()


def test_a_predecessor_that_holds_more_than_a_batch_is_not_forgotten(
    registered: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescue_module, "RESCUE_BATCH", 1)
    dead = row()
    tasks = [taken_by(dead.pk) for _ in range(2)]
    made = registered("other")
    takeover_of(made).turn(time.monotonic())
    assert [row_of(task).status for task in tasks] == ["new", "in_process"]
    assert ManagerProcess.objects.filter(pk=dead.pk).exists(), "so a rescue finds the other one"


def test_nothing_is_claimed_before_a_predecessors_tasks_are_taken_over(registered: Make) -> None:
    orphan = taken_by(row().pk)
    waiting = enqueue(1, priority=-5)
    made = registered()
    now = time.monotonic()
    assert made.link.ready(now)
    made.round_trip.turn(now)
    assert made.queue.qsize() == 0
    takeover = takeover_of(made)
    takeover.turn(now)
    takeover.turn(now)
    made.round_trip.turn(now)
    assert ids_of(made.queue.take_all()) == [orphan, waiting[0].id]


def test_a_takeover_that_fails_does_not_hold_claims_up_and_is_tried_again(
    registered: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_by(row().pk)
    enqueue(1)
    made = registered()
    now = time.monotonic()
    assert made.link.ready(now)
    duty = SideDuty(takeover_of(made), "taking over", made.link)
    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "take_over", _refuse)
        duty.turn(now)
    made.round_trip.turn(now)
    assert made.queue.qsize() == 1, "what waits is claimed meanwhile"
    assert sorted(statuses()) == ["in_process", "in_process"]
    assert now < duty.next_deadline() < now + 2
    duty.turn(duty.next_deadline())
    assert made.queue.qsize() == 2


def _refuse(*_: object, **__: object) -> None:
    raise OperationalError("a lock was not available")
