"""A manager's registration: its beats, its fence, its predecessors."""

from __future__ import annotations

import os
from typing import Any

import pytest

from django_partisan.exceptions import ManagerAlreadyRunning
from django_partisan.identity import Identity, boot_id, own_identity
from django_partisan.lifecycle import managers
from django_partisan.manager import heartbeat as module
from django_partisan.manager.heartbeat import Fence, Heartbeat
from django_partisan.models import ManagerProcess
from django_partisan.settings import get_process_settings
from tests.support.factories import enqueue, row_of
from tests.support.manager_rows import STATE, Clock, beaten, grow_old, id_of, row, taken_by

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def manager(**settings: Any) -> Heartbeat:
    return Heartbeat(["default"], get_process_settings().model_copy(update=settings))


def registered(**settings: Any) -> Heartbeat:
    made = manager(**settings)
    made.register()
    return made


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
    taken_by(former)  # else its row would be nobody's
    made.lose()
    assert made.fence() is Fence.SHUT
    made.register()
    assert made.predecessors == [former]


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


@pytest.mark.postgresql
def test_a_beat_tells_of_peers_so_that_a_manager_alone_looks_for_none() -> None:
    made = registered()
    assert not beaten(made).has_peers
    assert not beaten(made, "default").has_peers
    peer = row(boot_id="another boot", node_name="elsewhere")
    assert beaten(made).has_peers
    assert beaten(made, "default").has_peers
    peer.delete()
    assert not beaten(made).has_peers


def test_a_beat_looks_at_the_queue_in_the_same_breath_when_asked_to() -> None:
    made = registered()
    assert beaten(made).found == {}
    assert beaten(made, "default").found == {"default": []}
    enqueue(1, priority=3)
    enqueue(1, priority=7, execute_after=60)
    found = beaten(made, "default").found["default"]
    assert [(each.cursor.priority, each.has_due) for each in found] == [(3, True), (7, False)]
    assert found[1].next_due_in == pytest.approx(60, abs=30)
    assert beaten(made, "other").found == {"other": []}
    assert beaten(made, "other", "default").found.keys() == {"other", "default"}


def test_a_row_stays_while_it_holds_tasks_so_that_their_rescue_is_not_forgotten() -> None:
    made = registered()
    taken_by(id_of(made))
    made.deregister()
    assert ManagerProcess.objects.filter(pk=id_of(made)).exists()


def test_a_boot_without_this_process_proves_nothing_about_pids() -> None:
    registration_row = row(boot_id=boot_id() + "x", process_started="")
    identity = Identity(registration_row.node_name, "elsewhere", 1, "")
    assert managers._is_predecessor(registration_row, identity, False, None) is False
