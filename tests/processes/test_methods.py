"""Real managers run tasks of methods, whose models Django loads in every process."""

from __future__ import annotations

from typing import Any

from django_partisan.models import Attempt, Task
from tests.processes.conftest import StartManager
from tests.shop_app.models import Order, Parcel, RushOrder
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are


def test_methods_are_called_retried_and_postponed_and_what_is_gone_is_told(
    start_manager: StartManager, book: Book
) -> None:
    order, rush, gone = Order.objects.create(), RushOrder.objects.create(), Order.objects.create()
    payer, parcels = Order.objects.create(), [Parcel.objects.create() for _ in range(20)]
    good = [
        order.send.delay("home"),
        rush.wait.delay(),
        payer.pay.delay("4111-1111", fails=2),
        *Parcel.send.delay_many((parcel, "home") for parcel in parcels),
    ]
    lost = gone.send.delay()
    name = f"shop_app.Order {gone.pk}"
    gone.delete()
    ids = [task.pk for task in good]
    book.ids += [*ids, lost.pk]
    manager = start_manager()
    wait_until(lambda: all_are(ids, "finished") and all_are([lost.pk], "error"))
    results: dict[int, Any] = dict(Task.objects.values_list("pk", "result"))
    assert results[good[0].pk]["sent"] == "Order home 1"
    assert results[good[2].pk] == "paid with 9 digits"
    assert {each.note for each in Parcel.objects.all()} == {"Parcel home 1"}
    [task] = Task.objects.for_object(payer)
    assert (task.retries, task.status) == (2, "finished")
    assert manager.log.count("no answer for 4111-1111") == 2
    attempt = Attempt.objects.get(task_id=lost.pk)
    assert attempt.error_type.endswith("FailTask")
    assert attempt.message == f"{name} is gone: there is no object with this primary key"
