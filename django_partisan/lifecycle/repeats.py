"""Chains of repeats: the end of one link is the beginning of the next."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import connections, transaction

from django_partisan.database import dialect_for
from django_partisan.database.values import Follower, Link
from django_partisan.lifecycle.notifications import announce
from django_partisan.lifecycle.rows import database, finished_rows, task_rows
from django_partisan.lifecycle.telling import tell_enqueued_rows
from django_partisan.lifecycle.transitions import EndedAttempt
from django_partisan.logs import extra_of
from django_partisan.models import Task

logger = logging.getLogger(__name__)
TAKE_UP_BATCH: Final = 500
"""So many chains are taken up in one transaction at most."""


def next_slot(
    slot: datetime, seconds: float, until: datetime | None, now: datetime
) -> datetime | None:
    """Return the slot after one that has been served, None where the chain is at its end.

    That is the first of ``slot + n * seconds``, n = 1, 2, …, which is not past: what was missed is
    skipped, and nothing drifts. All moments are aware, and seconds are elapsed ones, so the clocks
    of a zone mean nothing. A slot at ``until`` exactly is the last one.
    """
    steps = max(1, math.floor((now - slot).total_seconds() / seconds))
    try:
        while (follower := slot + timedelta(seconds=steps * seconds)) < now:
            steps += 1
    except OverflowError:
        return None
    return follower if until is None or follower <= until else None


def follow(ids: Collection[int]) -> None:
    """Insert the follower of each of these tasks that has finished and repeats itself.

    Belongs into the transaction that records their end. The repeat moves on with the chain: the row
    of a link that has been followed, or that is the last one, is an ordinary finished task then, so
    it is followed once, whoever calls this however often. The key of a chain, which its links hold
    from the first to the last, moves on as well.
    """
    alias = database()
    dialect, connection = dialect_for(alias), connections[alias]
    links = dialect.links(connection, sorted(ids))
    if not links:
        return
    followers = _followers(links, *dialect.reserve(connection, len(links)))
    inserted = dialect.insert_followers(connection, followers) if followers else set()
    tell_enqueued_rows(inserted)
    rows = task_rows().filter(pk__in=[link.id for link in links])
    rows.update(repeat_seconds=None, unique_hash=None)
    for queue_name in {link.queue_name for link in links}:
        announce(alias, queue_name)
    _tell_of_last(links, {each.link_id for each in followers if each.id in inserted})


def take_up() -> int:
    """Continue chains whose link was recorded by a manager that knows no repeats; return how many.

    Managers of earlier versions leave such rows while they run beside newer ones. At most
    :data:`TAKE_UP_BATCH` are taken up at once.
    """
    with transaction.atomic(using=database()):
        rows = finished_rows().filter(repeat_seconds__isnull=False)
        locked = (
            rows.order_by("pk").select_for_update(skip_locked=True).values_list("pk", flat=True)
        )
        ids = list(locked[:TAKE_UP_BATCH])
        follow(ids)
    return len(ids)


def is_link(ended: EndedAttempt) -> bool:
    """Say whether an attempt was at a task that repeats itself."""
    return ended.task.repeat_seconds is not None


def tell_of_ends(ended_attempts: Sequence[EndedAttempt], recorded: dict[int, str]) -> None:
    """Log that chains have ended with these attempts, which have been recorded so."""
    for ended in filter(is_link, ended_attempts):
        status = recorded.get(ended.task.id)
        if status in Task.TERMINAL_STATUSES:
            logger.warning(
                "task %d was the last of its chain of repeats: it ended as %s. Put it back in its "
                "queue to have the chain go on.",
                ended.task.id,
                status,
                extra=extra_of(ended.task),
            )


def _followers(links: Sequence[Link], ids: Sequence[int], now: datetime) -> list[Follower]:
    slots = (
        None if link.is_last else next_slot(link.slot, link.seconds, link.until, now)
        for link in links
    )
    return [
        Follower(pk, link.id, slot)
        for pk, link, slot in zip(ids, links, slots, strict=True)
        if slot is not None
    ]


def _tell_of_last(links: Sequence[Link], followed: Collection[int]) -> None:
    for link in links:
        if link.id not in followed:
            logger.info("task %d was the last of its chain of repeats", link.id)
