"""`adelay()` and `adelay_many()` store what `delay()` and `delay_many()` store."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections, transaction

from django_partisan import registry
from django_partisan.exceptions import UnknownQueue
from django_partisan.models import Task
from django_partisan.processor import BaseTaskProcessor, processor
from django_partisan.processor.options import DelayOptions
from tests.app.functions import add, touch
from tests.shop_app.models import Order
from tests.support.factories import ids_of
from tests.support.processors import Plain, Unique

T = TypeVar("T")
Mistaken: Any = Plain  # For calls that a type checker would refuse.

pytestmark = pytest.mark.django_db(transaction=True)


@registry.register
class InNoQueue(Plain):
    QUEUE_NAME = "nowhere"


@processor
def named_like_those_of_others(*, func: int, loop: int, call: int) -> None: ...


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it in an event loop; the connection of its thread is closed in the end."""

    async def main() -> T:
        try:
            return await coroutine
        finally:
            await sync_to_async(connections.close_all)()

    return asyncio.run(main())


def test_a_task_is_stored_as_by_delay() -> None:
    options: Any = {"priority": 3, "execute_after": timedelta(hours=1), "expires": 60}
    task = run(Plain("ä", n=[1]).adelay(**options))
    twin = Plain("ä", n=[1]).delay(**options)
    assert Task.objects.get(pk=task.pk).arguments == twin.arguments
    assert (task.priority, task.was_duplicate) == (3, False)
    for moment in ("execute_after", "expires_at"):
        between = getattr(twin, moment) - getattr(task, moment)
        assert timedelta(0) <= between < timedelta(minutes=1)


def test_many_tasks_are_stored_in_the_order_of_their_items() -> None:
    tasks = run(Plain.adelay_many(((number,) for number in range(20)), priority=4))
    assert [task.arguments["args"] for task in tasks] == [[number] for number in range(20)]
    assert set(Task.objects.values_list("priority", flat=True)) == {4}


def test_the_items_may_be_a_query_set() -> None:
    Plain.delay_many([(1,), (2,)])
    rows = Task.objects.order_by("pk").values_list("pk")
    tasks = run(Unique.adelay_many(rows))
    assert [task.arguments["args"] for task in tasks] == [list(row) for row in rows[:2]]


def test_a_function_is_enqueued_as_by_its_own_delay() -> None:
    tasks = [run(add.adelay(1, times=3)), *run(add.adelay_many((number,) for number in (4, 5)))]
    assert [task.arguments["args"] for task in Task.objects.order_by("pk")] == [[1], [4], [5]]
    assert tasks[0].arguments["kwargs"] == {"times": 3}
    assert {task.processor_class for task in tasks} == {"tests.app.functions.add"}
    assert run(add.adelay(1, times=3)).was_duplicate


def test_a_function_with_options_is_enqueued_with_them() -> None:
    with_options = touch.options(priority=-3, tags=["files"])
    tasks = [run(with_options.adelay("/a")), *run(with_options.adelay_many([("/b",), ("/c",)]))]
    assert [(task.priority, list(task.tags)) for task in tasks] == [(-3, ["files"])] * 3
    assert Task.objects.tagged("files").count() == 3


def test_a_method_is_enqueued_with_its_object() -> None:
    order = Order.objects.create()
    tasks = [
        run(order.send.adelay("home", copies=2)),
        run(order.send.options(priority=3).adelay("work")),
        run(Order.send.adelay(order, "shop")),
        *run(order.send.adelay_many([("sea",)])),
    ]
    assert [task.arguments["args"] for task in tasks] == [
        [order.pk, address] for address in ("home", "work", "shop", "sea")
    ]
    assert list(Task.objects.for_object(order)) == tasks


def test_a_function_may_have_parameters_of_any_name() -> None:
    task = run(named_like_those_of_others.adelay(func=1, loop=2, call=3))
    assert task.arguments["kwargs"] == {"func": 1, "loop": 2, "call": 3}


def test_fifty_at_once_are_fifty_tasks() -> None:
    async def gathered() -> list[Task]:
        return await asyncio.gather(*(Plain(number).adelay() for number in range(50)))

    assert len(set(ids_of(run(gathered())))) == Task.objects.count() == 50


def test_fifty_unique_ones_at_once_are_one_task() -> None:
    async def gathered() -> list[Task]:
        return await asyncio.gather(*(Unique(1).adelay() for _ in range(50)))

    tasks = run(gathered())
    assert len(set(ids_of(tasks))) == Task.objects.count() == 1
    assert [task.was_duplicate for task in tasks].count(False) == 1


@pytest.mark.parametrize(
    ("begin", "error", "message"),
    [
        (lambda: Mistaken({1}).adelay(), TypeError, "argument 1 of Plain"),
        (lambda: InNoQueue().adelay(), UnknownQueue, "nowhere"),
        (lambda: Mistaken().adelay(execute_after="soon"), ValueError, "execute_after"),
        (
            lambda: Mistaken().adelay(countdown=3),
            TypeError,
            r"adelay\(\) takes no countdown=; write",
        ),
        (lambda: Mistaken().adelay(user=3), TypeError, r"adelay\(\) .*'user'; it takes priority="),
        (lambda: Mistaken().adelay(3), TypeError, r"write Plain\(17, name='x'\)\.adelay\(\)"),
        (lambda: Mistaken.adelay(3), TypeError, r"write YourClass\(17, name='x'\)\.adelay\(\)"),
        (lambda: Mistaken.adelay_many([(1,), 2]), TypeError, r"items\[1\]"),
        (lambda: Mistaken.adelay_many([(1,)], priority="x"), TypeError, "priority"),
        (lambda: add.adelay(1, n=2), TypeError, r"functions\.add\(first: .*argument 'n'"),  # type: ignore[call-arg]
        (lambda: add.options(priority="x").adelay(1), TypeError, "priority"),  # type: ignore[arg-type]
        (lambda: add.adelay_many([(1,), ()]), TypeError, r"items\[1\]"),
    ],
)
def test_errors_are_those_of_delay_and_nothing_is_stored(
    begin: Any, error: type[Exception], message: str
) -> None:
    async def awaited() -> None:
        await begin()

    with pytest.raises(error, match=message):
        run(awaited())
    assert not Task.objects.exists()


def test_delay_itself_is_refused_in_a_coroutine() -> None:
    async def enqueue() -> None:
        Plain().delay()

    with pytest.raises(SynchronousOnlyOperation):
        run(enqueue())


def test_a_transaction_is_joined_by_delay_in_a_function_of_its_own() -> None:
    @sync_to_async
    def place_order(*, is_paid: bool) -> None:
        with transaction.atomic():
            Plain(is_paid).delay()
            transaction.set_rollback(not is_paid)

    async def both() -> None:
        await place_order(is_paid=True)
        await place_order(is_paid=False)

    run(both())
    assert [task.arguments["args"] for task in Task.objects.all()] == [[True]]


def test_below_async_to_sync_the_callers_own_transaction_is_joined() -> None:
    with transaction.atomic():
        async_to_sync(Plain(1).adelay)()
        assert Task.objects.count() == 1
        transaction.set_rollback(True)
    assert not Task.objects.exists()


@pytest.mark.parametrize("method", ["delay", "delay_many"])
def test_the_keywords_that_are_handed_on_are_those_of_delay(method: str) -> None:
    parameters = inspect.signature(getattr(BaseTaskProcessor, method), eval_str=False).parameters
    keywords = {
        name: parameter.annotation
        for name, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    types = {name: hint.__forward_arg__ for name, hint in DelayOptions.__annotations__.items()}
    assert keywords == types
