"""The columns of moments: in UTC wherever the database itself knows no time zones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from django_partisan.config.moments import as_project_reads, with_zone


class MomentField(models.DateTimeField):  # type: ignore[type-arg]
    """A DateTimeField that is kept in UTC in SQLite, whatever the zone of the settings is.

    Django keeps local time there under ``USE_TZ = False``, or with a ``TIME_ZONE`` in DATABASES.
    Of an hour that the clocks repeat, nobody could say then what is due and who lives; and the
    moments would move with those settings.
    """

    def deconstruct(self) -> Any:
        """Return what migrations know: a DateTimeField, whose column this is."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.DateTimeField", args, kwargs

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        """Return a moment as the database takes it."""
        if not prepared:
            value = self.get_prep_value(value)
        if isinstance(value, datetime) and _is_kept_in_utc(connection):
            value = timezone.make_naive(with_zone(value), UTC)
        return super().get_db_prep_value(value, connection, prepared=True)

    def get_db_converters(self, connection: BaseDatabaseWrapper) -> list[Callable[..., Any]]:
        """Return what makes a project's moment of a stored one, where the two differ."""
        return [_read] if _is_kept_in_utc(connection) else []


def _is_kept_in_utc(connection: BaseDatabaseWrapper) -> bool:
    return not connection.features.supports_timezones and connection.timezone_name != "UTC"


def _read(value: datetime | None, expression: object, connection: BaseDatabaseWrapper) -> Any:  # noqa: ARG001
    if value is None:
        return None
    # Django has taken it for local time.
    moment = value.replace(tzinfo=UTC)
    return moment.astimezone(connection.timezone) if settings.USE_TZ else as_project_reads(moment)
