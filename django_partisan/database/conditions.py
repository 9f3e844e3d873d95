"""Query conditions on the status of tasks, stated as the partial indexes state them."""

from __future__ import annotations

from django.db.models import BooleanField
from django.db.models.expressions import RawSQL


def is_terminal() -> RawSQL:
    """Return the condition "terminal" for a queryset of tasks, as the index of those states it.

    SQLite uses a partial index only when its condition stands in the query literally, and the ORM
    always passes values as parameters.
    """
    return RawSQL("status IN ('finished', 'error', 'cancelled')", (), BooleanField())


def is_in_process() -> RawSQL:
    """Return the condition "in process" as the index of those states it, as above."""
    return RawSQL("status = 'in_process'", (), BooleanField())
