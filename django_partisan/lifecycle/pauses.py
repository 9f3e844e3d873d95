"""Pausing queues and processors: the rows of pauses, and the tasks that they hold."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import connections, transaction
from django.db.models import DurationField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from django_partisan.database import dialect_for
from django_partisan.lifecycle.notifications import announce, announce_pauses
from django_partisan.lifecycle.rows import database, pause_rows
from django_partisan.models import Pause

HELD_BATCH: Final = 2_000
"""Waiting tasks that one statement looks at to hold them, or frees."""


class Target(NamedTuple):
    """What is paused: a queue, or a processor with the names its tasks may be stored under."""

    queue_name: str | None = None
    processor_class: str | None = None
    names: tuple[str, ...] = ()

    def rows(self) -> QuerySet[Pause]:
        """Return the pause of this target, passed or not."""
        return pause_rows().filter(queue_name=self.queue_name, processor_class=self.processor_class)


def pause(target: Target, until: datetime | timedelta | None, reason: str, by: str) -> Pause:
    """Start nothing of a target any more, hold a processor's waiting tasks; return the pause.

    What is paused already keeps its beginning; end, reason and name are changed, and ``was_paused``
    says so. ``until`` is a moment, or a time from now. From its commit on no claim takes what is
    paused; managers give back what they have claimed and not started. The tasks of a processor are
    held in batches, each in a transaction of its own, or in the caller's.
    """
    alias = database()
    end: Any = Now() + until if isinstance(until, timedelta) else until
    changed = {"until": end, "reason": reason, "paused_by": by, "names": list(target.names)}
    with transaction.atomic(using=alias):
        rows = target.rows()
        rows.filter(_is_passed()).delete()
        row, is_new = rows.update_or_create(
            queue_name=target.queue_name,
            processor_class=target.processor_class,
            defaults=changed,
        )
        row.refresh_from_db(using=alias)
        announce_pauses(alias)
    if target.names:
        _hold_all(alias, row.pk, target.names)
    row.was_paused = not is_new
    return row


def resume(target: Target) -> Pause | None:
    """End a pause, free what it holds, and return its row as it was; None when it had ended before.

    If it is killed meanwhile, managers free the rest.
    """
    alias = database()
    with transaction.atomic(using=alias):
        row = target.rows().exclude(_is_passed()).first()
        target.rows().delete()
        announce_pauses(alias)
        if target.queue_name is not None:
            announce(alias, target.queue_name)
    while len(free_held()) == HELD_BATCH:
        pass
    return row


def current_pauses() -> list[Pause]:
    """Return the pauses that have not passed, each with ``ends_in``: the time left, or None."""
    left = ExpressionWrapper(F("until") - Now(), output_field=DurationField())
    found: list[Pause] = []
    for row in pause_rows().exclude(_is_passed()).annotate(time_left=left).order_by("pk"):
        row.ends_in = row.time_left
        found.append(row)
    return found


def remove_passed() -> list[Pause]:
    """Remove the rows of pauses that have ended by themselves, and return them."""
    with transaction.atomic(using=database()):
        passed = list(pause_rows().filter(_is_passed()).select_for_update().order_by("pk"))
        if passed:
            pause_rows().filter(pk__in=[row.pk for row in passed]).delete()
    return passed


def free_held(limit: int = HELD_BATCH) -> list[str]:
    """Let up to so many tasks be claimed again whose pause is over; return the queue of each."""
    alias = database()
    freed = dialect_for(alias).free_held(connections[alias], limit)
    for queue_name in set(freed):
        announce(alias, queue_name)
    return freed


def is_paused() -> Q:
    """Return the condition on tasks that a pause of their queue or their processor is there."""
    current = pause_rows().exclude(_is_passed())
    of_queue = current.filter(queue_name=OuterRef("queue_name"))
    names = [name for row in current.exclude(names=[]) for name in row.names]
    return Exists(of_queue) | Q(processor_class__in=names)


def _hold_all(alias: str, pause_id: int, names: tuple[str, ...]) -> None:
    dialect, place = dialect_for(alias), None
    while True:
        _, place = dialect.hold(connections[alias], pause_id, names, place, HELD_BATCH)
        if place is None:
            return


def _is_passed() -> Q:
    return Q(until__isnull=False, until__lte=Now())
