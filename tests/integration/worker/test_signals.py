"""A worker tells that a task starts, and of the end that it has recorded itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from django.db import connection, transaction

from django_partisan import execution, registry
from django_partisan.attempt import FAILED, FINISHED, RECORDED, ClaimedTask, Outcome
from django_partisan.execution import execute
from django_partisan.processor import BaseTaskProcessor
from django_partisan.signals import task_finished, task_started
from django_partisan.worker.atomic import atomically
from django_partisan.worker.host import WorkerHost
from tests.app.models import Ledger
from tests.support.factories import claim
from tests.support.listening import connected, listening, told

pytestmark = pytest.mark.django_db(transaction=True)


@registry.register
class Begun(BaseTaskProcessor):
    """Tells whether it runs in a transaction, and fails if it is told to."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> Any:
        Ledger.objects.create(task_id=1, note="begun")
        if self.args:
            raise RuntimeError(self.args[0])
        return connection.in_atomic_block


@registry.register
class BegunAtomic(Begun):
    ATOMIC = True


class Host(execution.PlainHost):
    """A worker's way to run an ATOMIC task, without the worker."""

    def atomically(self, task: ClaimedTask, attempt: Callable[[], Outcome]) -> Outcome:
        return atomically(task, attempt)


def run(processor: BaseTaskProcessor) -> tuple[ClaimedTask, Outcome]:
    processor.delay()
    [task] = claim()
    return task, execute(task, Host())


def test_the_start_is_told_before_the_transaction_of_an_atomic_task() -> None:
    blocks: list[bool] = []

    def hear(**_: Any) -> None:
        blocks.append(connection.in_atomic_block)

    with connected(hear, task_started), listening() as heard:
        task, outcome = run(BegunAtomic())
    assert blocks == [False]
    assert outcome.kind == RECORDED
    assert told(heard)[1:] == [("task_started", task.id), ("task_finished", task.id)]
    assert heard[1].task.status == "in_process"
    assert heard[2].task.status == "finished"
    assert heard[2].task.result is True


def test_what_an_atomic_task_rolls_back_is_not_told() -> None:
    with listening(task_finished) as heard:
        _, outcome = run(BegunAtomic("no"))
    assert outcome.kind == FAILED
    assert not heard


def test_a_receiver_of_the_end_that_fails_in_the_database_costs_no_outcome() -> None:
    def spoil(**_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column")

    with connected(spoil, task_finished):
        _, outcome = run(BegunAtomic())
    assert outcome.kind == RECORDED
    assert Ledger.objects.count() == 1


def test_a_task_that_cannot_be_made_does_not_start() -> None:
    Begun().delay()
    [task] = claim()
    with listening(task_started) as heard:
        assert execute(task._replace(arguments="{"), Host()).kind == FAILED
    assert not heard


def test_nobody_is_asked_where_nobody_listens() -> None:
    class Strict(Host):
        def tell_started(self, *_: Any) -> None:
            raise AssertionError

    Begun().delay()
    assert execute(claim()[0], Strict()).kind == FINISHED


def test_a_receiver_in_a_worker_can_end_nothing() -> None:
    class OfWorker(Host):
        def tell_started(self, *given: Any) -> None:
            WorkerHost.tell_started(cast(WorkerHost, self), *given)

    def leave(**_: Any) -> None:
        with transaction.atomic():
            Ledger.objects.create(task_id=2, note="before")
        raise SystemExit(1)

    with connected(leave, task_started):
        Begun().delay()
        assert execute(claim()[0], OfWorker()).kind == FINISHED
    assert Ledger.objects.count() == 2
