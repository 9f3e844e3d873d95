"""Moments as a project gives and reads them: aware, or naive where its settings have no zones."""

from datetime import UTC, datetime

from django.conf import settings
from django.utils import timezone


def with_zone(moment: datetime) -> datetime:
    """Return the moment as it is; under ``USE_TZ = False``, a naive one in the project's zone."""
    if moment.utcoffset() is None and _has_no_zones():
        return timezone.make_aware(moment, timezone.get_default_timezone())
    return moment


def in_utc(moment: datetime, name: str) -> datetime:
    """Return a moment in UTC; raise ValueError, with the name of the argument, without a zone."""
    given, moment = moment, with_zone(moment)
    if moment.utcoffset() is None:
        raise ValueError(
            f"{name}={moment!r} has no time zone; use django.utils.timezone.now() "
            "or timezone.make_aware()"
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{name}={given!r} is outside the years 1 to 9999") from None


def as_project_reads(moment: datetime) -> datetime:
    """Return the moment as it is; under ``USE_TZ = False``, naive in the project's zone."""
    if moment.utcoffset() is not None and _has_no_zones():
        return timezone.make_naive(moment, timezone.get_default_timezone())
    return moment


def _has_no_zones() -> bool:
    return settings.configured and not settings.USE_TZ
