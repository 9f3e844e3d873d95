"""A manager learns of a notification however it arrives."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from django_partisan import workers_manager
from django_partisan.dialects import dialect_for
from django_partisan.workers_manager import WorkersManager

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]


def _notify() -> None:
    dialect_for().notify(connection, "default")
    connection.close()


def test_a_notification_that_came_with_a_statements_answer_is_noticed_before_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers_manager, "_LONGEST_WAIT", 0.0)
    manager = WorkersManager()
    assert manager.link.is_usable(time.monotonic())
    wakeup = manager.exchange.wakeup
    wakeup.claimed(time.monotonic())
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_notify).result()
    # The statement reads the notification from the socket, which then has nothing to wake us.
    with manager.link.connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.1)")
    assert not wakeup.is_claim_due(time.monotonic())
    manager.wait()
    assert wakeup.is_claim_due(time.monotonic())
    manager.selector.close()
    manager.link.close()
