"""What `.delay()` was given, as a task that is about to be stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core import mail

from django_partisan.backoff import MAX_PAUSE_SECONDS
from django_partisan.config.moments import with_zone
from django_partisan.database.values import NewTask
from django_partisan.exceptions import ProcessorClassNotFound, ProcessorNotDiscovered
from django_partisan.processor.rules import checked_priority
from django_partisan.registry.autodiscover import advice_for_late
from django_partisan.registry.registry import registry
from django_partisan.settings import get_queue_settings


def template_of(
    source: Any,
    priority: int | None,
    execute_after: datetime | timedelta | float | None,
) -> NewTask:
    """Return a task without arguments, by the rules of a processor or of its class.

    Raises ProcessorClassNotFound for a class that is not registered, ProcessorNotDiscovered for one
    that workers would not find, UnknownQueue for its queue, TypeError or ValueError for a priority
    or a time that cannot be.
    """
    processor_class = source if isinstance(source, type) else type(source)
    name = registry.stored_name(processor_class)
    if not registry.is_processor_registered(name):
        raise ProcessorClassNotFound(name)
    if name in registry.late_names and not _is_under_test():
        raise ProcessorNotDiscovered(name, advice_for_late(processor_class))
    get_queue_settings(source.QUEUE_NAME)
    due_at, delay_seconds = _when(execute_after)
    return NewTask(
        processor_class=name,
        queue_name=source.QUEUE_NAME,
        priority=source.PRIORITY if priority is None else checked_priority(priority),
        arguments="",
        due_at=due_at,
        delay_seconds=delay_seconds,
        unique_hash=None,
        is_unique_until_finish=source.UNIQUE_FOR_PARAMS and source.UNIQUE_UNTIL == "finish",
    )


def _is_under_test() -> bool:
    """Say whether Django's test environment is set up: tests run their own classes themselves."""
    return hasattr(mail, "outbox")


def _when(given: datetime | timedelta | float | None) -> tuple[datetime | None, float]:
    match given:
        case None:
            return None, 0.0
        case datetime():
            return _in_utc(given), 0.0
        case timedelta():
            return None, _checked_seconds(given.total_seconds())
        case int() | float() if not isinstance(given, bool):
            return None, _checked_seconds(given)
    raise ValueError(f"execute_after takes a datetime, a timedelta or seconds, got {given!r}")


def _in_utc(moment: datetime) -> datetime:
    given, moment = moment, with_zone(moment)
    if moment.utcoffset() is None:
        raise ValueError(
            f"execute_after={moment!r} has no time zone; use django.utils.timezone.now() "
            "or timezone.make_aware()"
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"execute_after={given!r} is outside the years 1 to 9999") from None


def _checked_seconds(seconds: float) -> float:
    if not -MAX_PAUSE_SECONDS <= seconds <= MAX_PAUSE_SECONDS:
        raise ValueError(
            "execute_after takes a wait of at most ten years; give a datetime for a later moment"
        )
    return float(seconds)
