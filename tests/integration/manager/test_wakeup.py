"""A manager learns of a notification however it arrives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from django_partisan.database import dialect_for
from django_partisan.lifecycle.notifications import cancel_payload
from django_partisan.manager import WorkersManager, loop
from django_partisan.manager.claiming.wakeup import GATHER_SECONDS
from tests.support.duties import Ears
from tests.support.helpers import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]


def _notify(payload: str = "default") -> None:
    """Notify as another process would: the manager has this thread's connection."""

    def notify() -> None:
        dialect_for().notify(connection, payload)
        connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(notify).result()


def test_a_notification_that_came_with_a_statements_answer_is_noticed_before_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "_LONGEST_WAIT", 0.0)
    manager = WorkersManager()
    assert manager.link.ready(time.monotonic())
    ears = Ears.of(manager)
    ears.wakeup.claimed(time.monotonic())
    _notify()
    # The statement reads the notification from the socket, which then has nothing to wake us.
    with manager.link.connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.1)")
    assert not ears.wakeup.is_claim_due(time.monotonic())
    manager.wait()
    assert ears.wakeup.is_claim_due(time.monotonic())
    manager.selector.close()
    manager.link.close()


@pytest.fixture
def manager() -> Iterator[WorkersManager]:
    """Return a manager that listens, has nothing to claim and needs no second look."""
    made = WorkersManager()
    assert made.link.ready(time.monotonic())
    Ears.of(made).wakeup.claimed(time.monotonic())
    yield made
    made.selector.close()
    made.link.close()


def test_tasks_gather_after_a_claim_of_many(manager: WorkersManager) -> None:
    ears, now = Ears.of(manager), time.monotonic()
    assert ears.listener.file_descriptor() is not None
    ears.wakeup.claimed(now, is_stream=True)
    assert ears.listener.file_descriptor() is None, "no notification wakes the loop meanwhile"
    _notify()
    ears.listener.check(now)
    assert not ears.wakeup.is_claim_due(now + GATHER_SECONDS * 0.9)
    assert ears.wakeup.is_claim_due(now + GATHER_SECONDS), "with or without a notification"


def test_notifications_are_heeded_again_after_that_however_full_the_manager_is(
    manager: WorkersManager,
) -> None:
    ears, now = Ears.of(manager), time.monotonic()
    ears.listener.may_have_cancels = False
    ears.wakeup.claimed(now, is_stream=True)
    _notify(cancel_payload("default"))
    ears.listener.check(now)
    assert not ears.listener.may_have_cancels
    # No claim may be made: all that is left to wake it for is this.
    manager.standing.is_stopping = True
    assert manager.round_trip.next_deadline() == now + GATHER_SECONDS
    wait_until(lambda: _has_cancels(manager, now + GATHER_SECONDS))
    assert ears.listener.file_descriptor() is not None
    assert ears.wakeup.is_claim_due(now + GATHER_SECONDS), "what gathered is still to be claimed"


def test_a_claim_of_one_lets_the_next_notification_wake_the_loop(manager: WorkersManager) -> None:
    ears = Ears.of(manager)
    ears.wakeup.claimed(time.monotonic(), is_stream=True)
    ears.wakeup.claimed(time.monotonic())
    assert ears.listener.file_descriptor() is not None
    _notify()
    wait_until(lambda: _has_noticed(manager))


def _has_noticed(manager: WorkersManager) -> bool:
    now = time.monotonic()
    Ears.of(manager).listener.check(now)
    return Ears.of(manager).wakeup.is_claim_due(now)


def _has_cancels(manager: WorkersManager, now: float) -> bool:
    Ears.of(manager).listener.check(now)
    return Ears.of(manager).listener.may_have_cancels
