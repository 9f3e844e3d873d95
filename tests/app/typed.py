"""Processors with typed arguments."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import registry


class Customer(BaseModel):
    """A model inside another one."""

    key: UUID
    since: datetime


@registry.register
class Invoice(BaseTaskProcessor):
    """Returns what it has got; its first version had cents."""

    SCHEMA_VERSION = 2
    UNIQUE_KEY = ("customer.key",)

    class Params(BaseModel):
        """An amount that somebody owes."""

        customer: Customer
        amount: Decimal = Field(gt=0)

    params: Params

    @classmethod
    def upgrade_params(cls, version: int, data: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the first version as they are by now."""
        data["amount"] = Decimal(data.pop("cents")) / 100
        return data

    def run(self) -> Any:
        """Return the arguments, by way of their types."""
        customer, amount = self.params.customer, self.params.amount
        return [f"{customer.key.hex} {customer.since:%d.%m.%Y}", str(amount * 2)]
