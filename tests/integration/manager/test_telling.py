"""The manager calls receivers a few at a time, on a connection that is not its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_partisan.attempt import FAILED
from django_partisan.config.const import NEVER, ExitCode
from django_partisan.manager import WorkersManager
from django_partisan.manager.duties import telling
from django_partisan.manager.duties.telling import MOST_BATCHES
from django_partisan.models import ManagerProcess, Task
from django_partisan.signals import (
    manager_started,
    manager_stopped,
    task_enqueued,
    task_failed,
    task_finished,
)
from tests.app.models import Ledger
from tests.support.factories import claim_new, ended_attempt, finish, record
from tests.support.listening import connected, listening, told
from tests.support.managing import managing
from tests.support.processors import Plain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def manager() -> Iterator[WorkersManager]:
    """Yield a registered manager whose signals are kept for its turns."""
    with managing() as made, made.telling.keeping():
        yield made


def turn(manager: WorkersManager) -> None:
    manager.telling.turn(time.monotonic())


def may_claim(manager: WorkersManager) -> bool:
    return manager.standing.may_claim


def test_what_a_verb_tells_waits_for_the_managers_turn(manager: WorkersManager) -> None:
    [task] = claim_new()
    with listening(task_finished) as heard:
        turn(manager)
        assert manager.telling.next_deadline() == NEVER
        finish(task)
        assert not heard
        assert manager.telling.next_deadline() == 0
        turn(manager)
    assert told(heard) == [("task_finished", task.id)]


def test_receivers_meet_another_connection_and_the_managers_own_stays_as_it_was(
    manager: WorkersManager,
) -> None:
    own, raw = connections["default"], manager.link.connection.connection
    theirs: list[Any] = []

    def spoil(**_: Any) -> None:
        theirs.append(connections["default"])
        transaction.set_autocommit(False)
        Ledger.objects.create(task_id=1, note="left open")

    def close(**_: Any) -> None:
        Ledger.objects.create(task_id=1, note="kept")
        connections.close_all()

    with connected(spoil, task_finished), connected(close, task_finished):
        for task in claim_new(2):
            finish(task)
        turn(manager)
        turn(manager)
    assert theirs[0] is theirs[1] is not own
    assert connections["default"] is own
    assert own.connection is raw
    assert own.get_autocommit()
    assert not own.in_atomic_block
    assert theirs[0].connection is None
    assert manager.link.is_up
    assert not Ledger.objects.exists()


def test_a_transaction_that_a_receiver_leaves_open_does_not_hold_what_the_next_one_does(
    manager: WorkersManager,
) -> None:
    def leave_open(**_: Any) -> None:
        transaction.atomic().__enter__()
        Ledger.objects.create(task_id=1, note="left open")

    def follow_up(**_: Any) -> None:
        Plain("follow up").delay()

    tasks = claim_new(2)
    with (
        connected(leave_open, task_finished),
        connected(follow_up, task_failed),
        listening(task_enqueued) as heard,
    ):
        finish(tasks[0])
        record(ended_attempt(tasks[1], FAILED))
        while manager.telling.next_deadline() == 0:
            turn(manager)
    follower = Task.objects.get(status="new")
    assert told(heard) == [("task_enqueued", follower.pk)]
    assert not Ledger.objects.exists()


def test_a_receiver_may_use_the_database_while_a_statement_is_under_way(
    manager: WorkersManager,
) -> None:
    [task] = claim_new()
    answers: list[Any] = []

    def use(**_: Any) -> None:
        assert manager.link.is_busy
        Ledger.objects.create(task_id=task.id, note="meanwhile")

    with connected(use, task_finished):
        finish(task)
        own = connections["default"]

        def ask() -> Any:
            with own.cursor() as cursor:
                cursor.execute("SELECT 1")
                return cursor.fetchone()

        manager.link.begin(ask, lambda answer: answers.append(answer()))
        turn(manager)
        manager.link.finish(time.monotonic())
    assert answers == [(1,)]
    assert Ledger.objects.get().note == "meanwhile"


def test_a_manager_whose_receivers_take_too_long_claims_nothing_until_they_have_caught_up(
    manager: WorkersManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "BUDGET_SECONDS", 0.0)
    tasks = claim_new(MOST_BATCHES + 2)
    with listening(task_finished) as heard:
        for task in tasks:
            finish(task)
        assert may_claim(manager)
        turn(manager)
        assert len(heard) == 1
        assert not may_claim(manager)
        while manager.telling.next_deadline() == 0:
            turn(manager)
    assert told(heard) == [("task_finished", task.id) for task in tasks]
    assert may_claim(manager)


def test_the_start_is_told_once_and_the_end_after_all_else(manager: WorkersManager) -> None:
    [task] = claim_new()
    with listening() as heard:
        turn(manager)
        turn(manager)
        finish(task)
        manager.telling.end(ExitCode.CLEAN)
    assert [each.signal for each in heard] == [
        "manager_started",
        "task_finished",
        "manager_stopped",
    ]
    for each in (heard[0], heard[2]):
        assert each.values["manager"] == ManagerProcess.objects.get()
        assert each.sender is None
    assert heard[2].values["exit_code"] is ExitCode.CLEAN


def test_a_manager_that_never_served_tells_of_no_end(manager: WorkersManager) -> None:
    manager.pool.launcher.has_booted = False
    with listening(manager_started, manager_stopped) as heard:
        turn(manager)
        manager.telling.end(ExitCode.CLEAN)
    assert not heard


def test_what_cannot_be_sent_in_time_is_let_go_at_the_end(
    manager: WorkersManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telling, "LAST_SECONDS", 0.0)
    turn(manager)
    with listening(task_finished, manager_stopped) as heard, caplog.at_level(logging.WARNING):
        for task in claim_new(3):
            finish(task)
        manager.telling.end(ExitCode.CLEAN)
    assert [each.signal for each in heard] == ["task_finished", "manager_stopped"]
    assert "their receivers take too long" in caplog.text


def test_a_manager_nobody_listens_to_opens_no_connection_for_receivers(
    manager: WorkersManager,
) -> None:
    for task in claim_new(2):
        finish(task)
    turn(manager)
    manager.telling.end(ExitCode.CLEAN)
    assert manager.telling._receivers is None


def test_after_a_manager_the_connection_tells_at_once_again() -> None:
    with managing() as made, made.telling.keeping():
        pass
    [task] = claim_new()
    with listening(task_finished) as heard:
        finish(task)
    assert told(heard) == [("task_finished", task.id)]


@pytest.mark.postgresql
def test_a_receivers_connection_that_is_lost_is_opened_anew(manager: WorkersManager) -> None:
    def lose(**_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with connected(lose, task_finished):
        finish(claim_new()[0])
        turn(manager)
    with connected(lambda **_: Ledger.objects.create(task_id=1), task_finished):
        finish(claim_new()[0])
        turn(manager)
    assert Ledger.objects.count() == 1
    assert manager.link.is_up
