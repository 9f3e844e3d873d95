"""Moments as a project gives and reads them: aware, or naive where its settings have no zones."""

from datetime import datetime

from django.conf import settings
from django.utils import timezone


def with_zone(moment: datetime) -> datetime:
    """Return the moment as it is; under ``USE_TZ = False``, a naive one in the project's zone."""
    if moment.utcoffset() is None and _has_no_zones():
        return timezone.make_aware(moment, timezone.get_default_timezone())
    return moment


def as_project_reads(moment: datetime) -> datetime:
    """Return the moment as it is; under ``USE_TZ = False``, naive in the project's zone."""
    if moment.utcoffset() is not None and _has_no_zones():
        return timezone.make_naive(moment, timezone.get_default_timezone())
    return moment


def _has_no_zones() -> bool:
    return settings.configured and not settings.USE_TZ
