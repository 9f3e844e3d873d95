"""The key of an object is stored where a task has one, by whatever statement, and found by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_partisan.lifecycle import enqueue
from django_partisan.models import Task
from tests.conformance.plans import analyze, fill, indexes_in, plan_of, sqlite_plan_of
from tests.shop_app.models import Order, Parcel, RushOrder, Ticket
from tests.support.factories import claim, finish, row_of
from tests.support.processors import Plain, Unique

pytestmark = pytest.mark.django_db

ODD = "ü: \" ' \\ {0} %s"


def keys() -> list[str | None]:
    return list(Task.objects.order_by("pk").values_list("object_key", flat=True))


@pytest.mark.parametrize(
    "make",
    [
        Order.objects.create,
        RushOrder.objects.create,
        Parcel.objects.create,
        lambda: Ticket.objects.create(code=ODD),
    ],
)
def test_a_task_has_the_key_of_its_object_however_it_is_stored(make: Callable[[], Any]) -> None:
    obj = make()
    tasks = [
        obj.send.delay(),
        *obj.send.delay_many([("many",), ("more",)]),
        *type(obj).send.delay_many([(obj, "again")]),
        obj.send.options(repeat=60, expires=60).delay("chain"),
        obj.send.processor(obj.send.step().args[0], "by key").delay(),
        enqueue(obj.send.processor.task_of_schedule([obj.send.step().args[0]], {}), "keep"),
    ]
    assert keys() == [tasks[0].object_key] * 6
    assert {task.object_key for task in tasks} == {tasks[0].object_key}
    assert list(Task.objects.for_object(obj)) == list(Task.objects.order_by("pk"))


def test_a_task_without_an_object_pays_nothing() -> None:
    with CaptureQueriesContext(connection) as queries:
        tasks = [Plain().delay(), *Plain.delay_many([(1,)]), Unique().delay()]
    assert keys() == [None] * 3
    assert [task.object_key for task in tasks] == [None] * 3
    assert not [query for query in queries.captured_queries if "object_key" in query["sql"]]


def test_the_tasks_of_one_batch_have_each_the_key_of_its_own_object() -> None:
    orders = [Order.objects.create() for _ in range(10)]
    tasks = Order.send.delay_many((order, "x") for order in orders)
    assert keys() == [f"shop_app.order:{order.pk}" for order in orders]
    assert [task.object_key for task in tasks] == keys()


@pytest.mark.parametrize("is_batch", [False, True])
@pytest.mark.parametrize("name", ["announce", "index"])
def test_a_duplicate_that_takes_the_place_of_another_brings_its_object(
    name: str, is_batch: bool
) -> None:
    orders = [Order.objects.create() for _ in range(2)]
    for order in orders:
        method = getattr(order, name)
        method.delay_many([()]) if is_batch else method.delay()
    assert keys() == [f"shop_app.order:{orders[1].pk}"]


def test_the_followers_of_a_chain_have_the_key_as_well() -> None:
    order = Order.objects.create()
    order.send.options(repeat=0.001).delay()
    [task] = claim()
    assert finish(task) == {task.id}
    assert keys() == [f"shop_app.order:{order.pk}"] * 2
    assert row_of(task).status == "finished"


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgresql
def test_the_history_of_an_object_is_read_by_its_index_on_postgresql() -> None:
    order = Order.objects.create()
    fill(20_000)
    order.send.delay_many((str(number),) for number in range(20))
    analyze()
    plan = plan_of(lambda: list(Task.objects.for_object(order)))
    assert indexes_in(plan) == {"partisan_task_object"}
    assert not [node for node in plan if node["Node Type"] == "Sort"]


@pytest.mark.sqlite
def test_the_history_of_an_object_is_read_by_its_index_on_sqlite() -> None:
    order = Order.objects.create()
    plan = sqlite_plan_of(lambda: list(Task.objects.for_object(order)))
    assert "USING INDEX partisan_task_object" in plan
    assert "TEMP B-TREE" not in plan
