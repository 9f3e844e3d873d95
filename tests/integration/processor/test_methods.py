"""Tasks of decorated methods load their object anew and call its method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import models

from django_partisan import checks
from django_partisan.exceptions import FailTask
from django_partisan.models import Task
from tests.shop_app.models import GiftOrder, Line, Order, Parcel, RushOrder, Ticket

pytestmark = pytest.mark.django_db


class ReplicaIsLate:
    """The router of a project whose replica knows nothing of the shop yet."""

    def db_for_read(self, model: type[models.Model], **hints: object) -> str | None:
        return "replica" if model._meta.app_label == "shop_app" else None


def run_next() -> Any:
    [task] = Task.objects.select_for_process(1)
    return task.run()


@pytest.mark.parametrize(
    ("make", "greeting"),
    [
        (Order.objects.create, "Order"),
        (RushOrder.objects.create, "quickly"),
        (GiftOrder.objects.create, "GiftOrder"),
        (Parcel.objects.create, "Parcel"),
        (lambda: Ticket.objects.create(code='ü: "1"'), "Ticket"),
        (lambda: Line.objects.create(order=Order.objects.create(), number=2), "Line"),
    ],
)
def test_the_method_of_the_object_is_called_with_the_arguments(
    make: Callable[[], Any], greeting: str
) -> None:
    obj = make()
    task = obj.send.delay("home", copies=2)
    assert task.arguments["args"][1:] == ["home"]
    assert run_next()["sent"] == f"{greeting} home 2"
    assert obj.note == "", "it is another object of the same row"
    obj.refresh_from_db()
    assert obj.note == f"{greeting} home 2"
    assert list(Task.objects.for_object(obj)) == [task]


def test_the_method_of_the_class_takes_the_object_first() -> None:
    order, rush = Order.objects.create(), RushOrder.objects.create()
    tasks = [
        Order.send.delay(order, "a"),
        Order.send.options(priority=3).delay(rush, "b"),
        *Order.send.delay_many([(order, "c"), (order,)]),
        *order.send.options(priority=4).delay_many([("d",), ("e",)]),
    ]
    assert [task.arguments["args"][0] for task in tasks] == [order.pk, rush.pk] + [order.pk] * 4
    assert [task.priority for task in tasks] == [10, 3, 10, 10, 4, 4]
    assert [task.processor_class.rpartition("models.")[2] for task in tasks[:2]] == [
        "Order.send",
        "RushOrder.send",
    ]


def test_the_history_of_an_object_is_that_of_all_its_methods() -> None:
    rush, other = RushOrder.objects.create(), Order.objects.create()
    order = Order.objects.get(pk=rush.pk)
    history = [order.send.delay(), rush.send.delay(), order.wait.delay()]
    other.send.delay()
    assert list(Task.objects.for_object(order)) == history
    assert list(Task.objects.for_object(rush).filter(priority=3)) == history[2:]
    assert not Task.objects.for_object(Parcel.objects.create()).exists()


def test_there_is_no_history_of_what_is_no_object() -> None:
    with pytest.raises(ValueError, match=r"got a shop_app\.Order that is not stored"):
        Task.objects.for_object(Order(pk=3))
    with pytest.raises(TypeError, match=r"got 3 \(int\), which is no object of a model"):
        Task.objects.for_object(3)  # type: ignore[arg-type]


def test_an_object_that_is_gone_fails_its_task_with_its_name() -> None:
    order = Order.objects.create()
    pk = order.pk
    order.send.delay()
    order.delete()
    with pytest.raises(FailTask, match=f"^shop_app.Order {pk} is gone: there is no object with"):
        run_next()
    with pytest.raises(ValueError, match="that is not stored"):
        order.send.delay()


@pytest.mark.parametrize(
    ("model", "pk"), [(Order, "abc"), (Parcel, "abc"), (Line, "[1"), (Line, 1)]
)
def test_a_forged_primary_key_fails_its_task(model: Any, pk: Any) -> None:
    Task.objects.create(
        processor_class=f"tests.shop_app.models.{model.__name__}.send",
        arguments={"args": [pk], "kwargs": {}},
    )
    with pytest.raises(
        FailTask, match=f"shop_app.{model.__name__} .* cannot be loaded: that is no"
    ):
        run_next()


def test_what_the_default_manager_leaves_out_is_loaded_all_the_same() -> None:
    order = Order.objects.create(is_closed=True)
    order.send.delay()
    assert run_next()["sent"].startswith("Order")


def test_objects_are_loaded_from_the_database_that_is_written(settings: Any) -> None:
    order = Order.objects.create()
    order.send.delay()
    settings.DATABASE_ROUTERS = [ReplicaIsLate()]
    assert run_next()["sent"].startswith("Order")


def test_duplicates_are_those_of_one_object() -> None:
    orders = [Order.objects.create() for _ in range(2)]
    first, second = (order.pay.delay("4111") for order in orders)
    again = orders[0].pay.delay("4222")
    assert (again.pk, again.was_duplicate) == (first.pk, True)
    assert again.arguments["args"] == [orders[0].pk, "4222"], "it has replaced the first"
    assert second.pk != first.pk


def test_run_now_calls_the_method_of_the_object_as_it_is_stored() -> None:
    order = Order.objects.create()
    order.note = "not saved"
    assert order.send.run_now("home")["sent"] == "Order home 1"
    assert Order.send.run_now(order, "shop")["sent"] == "Order shop 1"
    assert order.note == "not saved"
    assert not Task.objects.exists()


def test_checks_have_nothing_to_say_of_methods_without_a_mistake() -> None:
    said = [message.msg for message in checks.check_processors()]
    assert not [text for text in said if "shop_app" in text], said
