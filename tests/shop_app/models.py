"""Models with methods that are processors, in all the ways in which a model comes to have one."""
# ruff: noqa: DJ008 - nobody reads them

from __future__ import annotations

import os
import uuid
from typing import Any, ClassVar

from django.db import models

from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.exceptions import PostponeTask
from django_partisan.processor import processor


class Sendable(models.Model):
    """What can be sent, each in its own way."""

    note = models.TextField(default="")

    class Meta:
        abstract = True

    @processor
    def send(self, address: str = "", *, copies: int = 1) -> dict[str, Any]:
        """Note where it was sent."""
        self.note = f"{self.greeting()} {address} {copies}"
        self.save()
        return {"sent": self.note, "pid": os.getpid()}

    def greeting(self) -> str:
        return type(self).__name__


class ActiveOrders(models.Manager["Order"]):
    """Leaves out what is closed."""

    def get_queryset(self) -> models.QuerySet[Order]:
        return super().get_queryset().filter(is_closed=False)


class Order(Sendable):
    is_closed = models.BooleanField(default=False)

    objects: ClassVar[ActiveOrders] = ActiveOrders()

    @processor(
        unique_key=("self",),
        on_duplicate="replace",
        retry_on_error_config=ErrorsHandleConfig(
            retry_on_errors=(ConnectionError,), retries_count=2, retry_pause=0.1
        ),
    )
    def pay(self, card: str, fails: int = 0) -> str:
        """Pay at the first attempt after so many that fail."""
        if len(self.note) < fails:
            type(self).objects.filter(pk=self.pk).update(note=self.note + "x")
            raise ConnectionError(f"no answer for {card}")
        return f"paid with {len(card)} digits"

    @processor(priority=3, unique_for_params=False)
    def wait(self) -> None:
        if not self.note:
            type(self).objects.filter(pk=self.pk).update(note="waited")
            raise PostponeTask(0.1)

    @processor(unique_key=(), on_duplicate="replace", atomic=True)
    def announce(self) -> None: ...

    @processor
    async def fetch(self, address: str) -> str:
        """Note asynchronously where it was fetched from."""
        self.note = f"fetched {address}"
        await self.asave()
        return self.note

    @processor(unique_key=(), debounce_seconds=10)
    def index(self) -> None: ...

    wait.short_description = "Wait for it"  # type: ignore[attr-defined]

    def undecorated(self, path: str) -> None:
        raise AssertionError(path)


class RushOrder(Order):
    """The same rows, another greeting."""

    class Meta:
        proxy = True

    def greeting(self) -> str:
        return "quickly"


class GiftOrder(Order):
    """Has a table of its own beside, and no payment that could be a task."""

    wrapping = models.TextField(default="")

    def pay(self, card: str, fails: int = 0) -> str:  # type: ignore[override]
        return f"a gift: {super().pay(card, fails)}"


class Parcel(Sendable):
    """Has a primary key that JSON does not know."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)


class Line(Sendable):
    """Has a primary key of two columns."""

    pk = models.CompositePrimaryKey("order_id", "number")
    order = models.ForeignKey(Order, on_delete=models.CASCADE)
    number = models.IntegerField()


class Ticket(Sendable):
    """Has a primary key that is text."""

    code = models.CharField(primary_key=True, max_length=300)
