"""A manager's standing: registration, beats, the fence, predecessors and orphans."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from django_partisan.database.values import Pulse
from django_partisan.exceptions import ManagerAlreadyRunning
from django_partisan.identity import Identity, boot_id, own_identity
from django_partisan.lifecycle import managers
from django_partisan.manager import heartbeat as module
from django_partisan.manager.heartbeat import Fence, Heartbeat
from django_partisan.models import ManagerProcess
from django_partisan.settings import get_process_settings
from tests.support.factories import claim, enqueue, ids_of, row_of

pytestmark = pytest.mark.django_db(transaction=True)

STATE = ManagerProcess.State.RUNNING


class Clock:
    """A monotonic clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0  # Sums of whole seconds are exact.

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def manager(**settings: Any) -> Heartbeat:
    return Heartbeat("default", get_process_settings().model_copy(update=settings))


def registered(**settings: Any) -> Heartbeat:
    made = manager(**settings)
    made.register()
    return made


def id_of(made: Heartbeat) -> int:
    assert made.manager_id is not None
    return made.manager_id


def row(**columns: Any) -> ManagerProcess:
    """Store a manager's row as another process would have."""
    mine = own_identity()
    values = {
        "node_name": mine.node_name,
        "pid": dead_pid(),
        "boot_id": mine.boot_id,
        "process_started": "1",
        "version": "test",
    }
    return ManagerProcess.objects.create(**{**values, **columns})


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def grow_old(pk: int, seconds: float = 3600) -> None:
    old = Now() - timedelta(seconds=seconds)
    ManagerProcess.objects.filter(pk=pk).update(last_seen=old)


def test_nobody_acts_before_he_is_registered() -> None:
    assert manager().fence() is Fence.SHUT


def test_the_fence_closes_in_two_steps_without_a_beat_and_opens_with_one(clock: Clock) -> None:
    made = registered(DEAD_AFTER_SECONDS=30.0)
    assert made.fence() is Fence.OPEN
    assert made.fence_at() == pytest.approx(clock.now + 20)
    clock.now += 20
    assert made.fence() is Fence.HOLD
    assert made.fence_at() == pytest.approx(clock.now + 10)
    assert made.beat(STATE, {})
    assert made.fence() is Fence.OPEN
    clock.now += 30
    assert made.fence() is Fence.SHUT


@pytest.mark.parametrize("name", ["register", "beat"])
def test_the_fence_counts_from_when_a_sign_of_life_was_sent_not_from_its_answer(
    name: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = manager(DEAD_AFTER_SECONDS=30.0)
    send = getattr(managers, name)

    def slow(*args: Any, **options: Any) -> Any:
        clock.now += 15
        return send(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(managers, name, slow)
        made.register()
        assert made.beat(STATE, {}) if name == "beat" else True
    clock.now += 5
    assert made.fence() is Fence.HOLD


def test_a_beat_shows_state_and_snapshot_by_the_databases_clock() -> None:
    made = registered()
    grow_old(id_of(made), 10)
    before = ManagerProcess.objects.get(pk=id_of(made)).last_seen
    assert made.beat(ManagerProcess.State.STOPPING, {"waiting": 3})
    after = ManagerProcess.objects.get(pk=id_of(made))
    assert after.last_seen > before
    assert (after.state, after.snapshot) == ("stopping", {"waiting": 3})


def test_a_beat_fails_once_others_have_removed_the_row_or_hold_it_for_dead() -> None:
    made = registered()
    grow_old(id_of(made))
    assert not made.beat(STATE, {})
    ManagerProcess.objects.all().delete()
    assert not made.beat(STATE, {})


def test_a_new_registration_is_the_successor_of_the_lost_one() -> None:
    made = registered()
    former = made.manager_id
    assert former is not None
    task = taken_by(former)
    made.lose()
    assert made.fence() is Fence.SHUT
    made.register()
    assert made.predecessors == [former]
    assert ids_of(made.take_over(10)) == [task]
    assert row_of(task).manager_id == made.manager_id


def test_a_row_of_this_host_whose_process_is_gone_is_a_predecessor() -> None:
    gone = row()
    assert registered().predecessors == [gone.pk]


def test_a_pid_that_means_another_process_by_now_is_a_predecessor_too() -> None:
    reused = row(pid=os.getpid(), process_started="somewhen else")
    assert registered().predecessors == [reused.pk]


@pytest.mark.postgresql
def test_a_living_process_of_this_host_is_no_predecessor() -> None:
    mine = own_identity()
    row(pid=mine.pid, process_started=mine.process_started)
    assert registered().predecessors == []


@pytest.mark.postgresql
def test_the_same_name_elsewhere_counts_only_when_it_was_given_on_purpose() -> None:
    other = row(node_name="shop-1", boot_id="another boot")
    assert registered(NODE_NAME=None).predecessors == []
    assert registered(NODE_NAME="shop-1").predecessors == [other.pk]


@pytest.mark.postgresql
def test_two_that_have_one_name_by_mistake_do_not_oust_each_other_for_ever() -> None:
    first, second = manager(NODE_NAME="shop-1"), manager(NODE_NAME="shop-1")
    second.identity = second.identity._replace(boot_id="another boot")
    first.register()
    second.register()
    assert not first.beat(STATE, {}), "a start under a name ends whoever had it"
    first.lose()
    first.register()
    assert first.beat(STATE, {})
    assert second.beat(STATE, {})


@pytest.mark.sqlite
def test_a_second_manager_of_an_sqlite_file_is_refused_with_the_remedy() -> None:
    mine = own_identity()
    row(pid=mine.pid, process_started=mine.process_started)
    with pytest.raises(ManagerAlreadyRunning, match=rf"process {mine.pid}.*--workers_count"):
        registered()
    assert ManagerProcess.objects.count() == 1


def test_orphans_wait_until_the_rescuers_own_beats_have_proven_the_database(clock: Clock) -> None:
    dead = row(boot_id="another boot", node_name="elsewhere")
    task = taken_by(dead.pk)
    grow_old(dead.pk)
    made = registered(DEAD_AFTER_SECONDS=30.0)
    clock.now += 10
    assert made.beat(STATE, {})
    made.rescue_if_due(clock.now)
    assert row_of(task).status == "in_process"
    for _ in range(3):
        clock.now += 10
        assert made.beat(STATE, {})
    made.rescue_if_due(clock.now)
    assert row_of(task).status == "new"
    assert not ManagerProcess.objects.filter(pk=dead.pk).exists()


def test_orphans_that_are_more_than_a_batch_are_rescued_without_a_pause(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESCUE_BATCH", 2)
    dead = row(boot_id="another boot", node_name="elsewhere")
    tasks = [taken_by(dead.pk) for _ in range(3)]
    grow_old(dead.pk)
    made = registered(DEAD_AFTER_SECONDS=30.0, HEARTBEAT_SECONDS=60.0, RESCUE_INTERVAL_SECONDS=10.0)
    living = row(boot_id="another boot", node_name="south")
    for _ in range(3):
        clock.now += 10
        assert made.beat(STATE, {})
    made.rescue_if_due(clock.now)
    assert [row_of(task).status for task in tasks] == ["new", "new", "in_process"]
    assert ManagerProcess.objects.filter(pk=dead.pk).exists(), "it holds a task still"
    assert made.next_deadline(rescues=True) <= clock.now
    made.rescue_if_due(clock.now)
    assert row_of(tasks[-1]).status == "new"
    assert set(ManagerProcess.objects.values_list("pk", flat=True)) == {living.pk, id_of(made)}
    grow_old(living.pk)
    taken_by(living.pk)
    assert made.beat(STATE, {})
    assert made.next_deadline(rescues=True) == pytest.approx(clock.now + 10), "not at once"


def test_after_a_gap_in_ones_own_beats_nobody_is_judged_for_a_while(clock: Clock) -> None:
    made = registered(DEAD_AFTER_SECONDS=30.0)
    clock.now += 25
    assert made.beat(STATE, {})
    clock.now += 10
    task = taken_by(row(boot_id="another boot").pk)
    ManagerProcess.objects.exclude(pk=id_of(made)).update(last_seen=Now() - timedelta(seconds=60))
    assert made.beat(STATE, {})
    made.rescue_if_due(clock.now)
    assert made.next_deadline(rescues=True) > clock.now
    assert row_of(task).status == "in_process"


def test_a_beat_tells_of_orphans_and_of_rows_that_nobody_needs() -> None:
    made = registered()
    peer = row(boot_id="another boot", node_name="elsewhere")
    assert not beaten(made).has_orphans
    grow_old(peer.pk)
    assert beaten(made).has_orphans, "a row to be removed"
    ManagerProcess.objects.filter(pk=peer.pk).delete()
    assert not beaten(made).has_orphans
    mine = taken_by(id_of(made))
    assert not beaten(made).has_orphans
    taken_by(peer.pk)
    assert beaten(made).has_orphans, "a task in process whose owner is gone"
    assert row_of(mine).status == "in_process"


def test_a_beat_looks_at_the_queue_in_the_same_breath_when_asked_to() -> None:
    made = registered()
    assert beaten(made).found is None
    assert beaten(made, "default").found == []
    enqueue(1, priority=3)
    enqueue(1, priority=7, execute_after=60)
    found = beaten(made, "default").found
    assert found is not None
    assert [(each.cursor.priority, each.has_due) for each in found] == [(3, True), (7, False)]
    assert found[1].next_due_in == pytest.approx(60, abs=30)
    assert beaten(made, "other").found == []


def test_what_a_living_peer_holds_is_left_alone(clock: Clock) -> None:
    made = registered(DEAD_AFTER_SECONDS=30.0)
    task = taken_by(row(boot_id="another boot", node_name="elsewhere").pk)
    clock.now += 12
    made.beat(STATE, {})
    clock.now += 12
    made.beat(STATE, {})
    clock.now += 12
    made.rescue_if_due(clock.now)
    assert row_of(task).status == "in_process"


def test_a_row_stays_while_it_holds_tasks_so_that_their_rescue_is_not_forgotten() -> None:
    made = registered()
    taken_by(id_of(made))
    made.deregister()
    assert ManagerProcess.objects.filter(pk=id_of(made)).exists()


def test_orphans_of_a_queue_that_is_not_served_go_back_to_it() -> None:
    dead = row()
    task = taken_by(dead.pk)
    made = Heartbeat("another", get_process_settings())
    made.register()
    assert made.take_over(10) == []
    assert made.predecessors == [], "its own tasks have their turn from now on"
    assert row_of(task).status == "new"
    assert not ManagerProcess.objects.filter(pk=dead.pk).exists()


def test_a_predecessor_that_holds_more_than_a_batch_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RESCUE_BATCH", 1)
    dead = row()
    tasks = [taken_by(dead.pk) for _ in range(2)]
    made = Heartbeat("another", get_process_settings())
    made.register()
    assert made.take_over(10) == []
    assert [row_of(task).status for task in tasks] == ["new", "in_process"]
    assert ManagerProcess.objects.filter(pk=dead.pk).exists(), "so a rescue finds the other one"


def test_a_boot_without_this_process_proves_nothing_about_pids() -> None:
    registration_row = row(boot_id=boot_id() + "x", process_started="")
    identity = Identity(registration_row.node_name, "elsewhere", 1, "")
    assert managers._is_predecessor(registration_row, identity, False, None) is False


def beaten(made: Heartbeat, queue_name: str | None = None) -> Pulse:
    pulse = made.beat(STATE, {}, queue_name)
    assert pulse is not None
    return pulse


def taken_by(manager_id: int) -> int:
    enqueue(1)
    return claim(1, owner=manager_id)[0].id
