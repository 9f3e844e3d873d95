"""`.run_now()` and the database: nothing is stored, and ATOMIC is a transaction."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction

from django_partisan.exceptions import FailTask
from django_partisan.models import Task
from django_partisan.processor import BaseTaskProcessor
from tests.app.async_tasks import AsyncEnding, add_slowly, count_entries
from tests.app.models import Ledger
from tests.shop_app.models import Order
from tests.support.processors import Unique

pytestmark = pytest.mark.django_db(transaction=True)


class WriteAndFail(BaseTaskProcessor):
    def run(self) -> None:
        Ledger.objects.create(task_id=self.args[0])
        raise ValueError("after the first half")


class WriteAndFailAtomically(WriteAndFail):
    ATOMIC = True


class IsInTransaction(BaseTaskProcessor):
    ATOMIC = True

    def run(self) -> bool:
        return bool(transaction.get_connection().in_atomic_block)


def test_nothing_is_stored_and_a_duplicate_that_waits_is_in_nobodys_way() -> None:
    waiting = Unique(1).delay()
    assert Unique(1).run_now() == [[1], {}]
    assert list(Task.objects.values_list("pk", "status")) == [(waiting.pk, "new")]


def test_what_an_atomic_processor_has_done_is_rolled_back_with_its_error() -> None:
    for processor in (WriteAndFail(1), WriteAndFailAtomically(2)):
        with pytest.raises(ValueError, match="first half"):
            processor.run_now()
    assert list(Ledger.objects.values_list("task_id", flat=True)) == [1]


def test_an_atomic_processor_runs_in_a_transaction_and_ends_it() -> None:
    assert IsInTransaction().run_now() is True
    assert not transaction.get_connection().in_atomic_block


def test_a_coroutine_is_awaited_and_sees_what_its_caller_has_not_committed() -> None:
    assert add_slowly.run_now(1, second=2) == 3
    with transaction.atomic():
        Ledger.objects.create(task_id=4)
        assert count_entries.run_now(4) == 1
        order = Order.objects.create()
        assert [order.fetch.run_now("home")] == ["fetched home"]
        transaction.set_rollback(True)
    assert not Order.objects.exists()


def test_a_coroutine_cannot_be_run_now_inside_of_an_event_loop_but_beside_it() -> None:
    async def beside() -> int:
        return await sync_to_async(add_slowly.run_now)(1, 2)

    async def inside() -> int:
        return add_slowly.run_now(1, 2)

    assert async_to_sync(beside)() == 3
    with pytest.raises(RuntimeError, match="just await the async function"):
        async_to_sync(inside)()


def test_a_coroutine_runs_by_hand_as_in_1_6_1() -> None:
    AsyncEnding("fail").delay()
    AsyncEnding("postpone").delay()
    adding = add_slowly.delay(1, 2)
    failing, postponing, adding = Task.objects.select_for_process()
    with pytest.raises(FailTask):
        failing.run()
    assert postponing.run() is None
    assert adding.run() == 3
    adding.complete()
    statuses = Task.objects.order_by("pk").values_list("status", "postpones")
    assert list(statuses) == [("in_process", 0), ("new", 1), ("finished", 0)]
