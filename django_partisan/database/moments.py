"""Moments as whole numbers: a driver under USE_TZ = False returns an hour that comes twice once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db.models import BigIntegerField
from django.db.models.expressions import RawSQL

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment_of(microseconds: int) -> datetime:
    """Return the moment, in UTC, of so many microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds_of(expression: str) -> RawSQL:
    """Return a number, which a dialect's SQL gives, for a queryset."""
    return RawSQL(expression, (), BigIntegerField())  # noqa: S611 - constants of the dialect
