"""Query conditions on the status of tasks, stated as the partial indexes state them."""

from __future__ import annotations

from django.db.models import BooleanField
from django.db.models.expressions import RawSQL

from django_partisan.database.dialect import Dialect


def is_terminal() -> RawSQL:
    """Return the condition "terminal" for a queryset of tasks, as the index of those states it.

    SQLite uses a partial index only when its condition stands in the query literally, and the ORM
    always passes values as parameters.
    """
    return RawSQL("status IN ('finished', 'error', 'cancelled')", (), BooleanField())


def is_throttle_over(dialect: Dialect) -> RawSQL:
    """Return the condition that a task keeps duplicates out no longer by UNIQUE_FOR_SECONDS."""
    return RawSQL(dialect.throttle_is_over, (), BooleanField())  # noqa: S611 - a constant


def is_in_process() -> RawSQL:
    """Return the condition "in process" as the index of those states it, as above."""
    return RawSQL("status = 'in_process'", (), BooleanField())


_UNPLANNED = """(NOT (cron = planned_cron) OR NOT (every_seconds = planned_every_seconds)
    OR NOT (timezone = planned_timezone) OR (is_manual < {true} AND next_run_at IS NULL
        AND paused_at IS NULL AND problem = '' AND removed_at IS NULL))"""
UNPLANNED = {"postgresql": _UNPLANNED.format(true="true"), "sqlite": _UNPLANNED.format(true="1")}
"""What of the schedules was changed past their model; stated as the index of those states it.

An index states "is not" in another way with each version of Django, hence "is less than true".
"""


def is_unplanned(vendor: str) -> RawSQL:
    """Return the condition "changed since it was planned" for a queryset of schedules."""
    return RawSQL(UNPLANNED[vendor], (), BooleanField())  # noqa: S611 - a constant
