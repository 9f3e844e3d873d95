"""Moments as a project gives them: aware, or naive where its settings have no time zones."""

from datetime import datetime

from django.conf import settings
from django.utils import timezone


def with_zone(moment: datetime) -> datetime:
    """Return the moment as it is; under ``USE_TZ = False``, a naive one in the project's zone."""
    if moment.utcoffset() is None and settings.configured and not settings.USE_TZ:
        return timezone.make_aware(moment, timezone.get_default_timezone())
    return moment
