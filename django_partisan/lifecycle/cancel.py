"""Cancelling tasks: at once what waits, and a request to its owner for what is in process."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from django.db import connections
from django.db.models import Q

from django_partisan.database import dialect_for
from django_partisan.database.conditions import is_in_process
from django_partisan.lifecycle import notifications
from django_partisan.lifecycle.conflicts import tried_again
from django_partisan.lifecycle.dependencies import tell_dependents_after_commit
from django_partisan.lifecycle.outputs import has_followers
from django_partisan.lifecycle.rows import database, task_rows
from django_partisan.lifecycle.telling import ASKED, tell_cancelled
from django_partisan.models import Task


class CancelRequest(NamedTuple):
    """The ids of tasks that are cancelled now, and of those that their owner was asked to stop.

    Tasks in neither of them had ended before, or do not exist.
    """

    cancelled: list[int]
    requested: list[int]


def request_cancel(ids: Iterable[int]) -> CancelRequest:
    """Cancel tasks that wait, and ask for the end of those in process; ended ones stay as they are.

    The request is kept on the row, so a task in process never waits again: whoever gives it back
    to its queue, or finds its owner gone, ends it as cancelled instead. It is still finished, or
    in error, where its code came to its own end first. Asking twice changes nothing. Waiting for
    locks on its rows apart, it waits for nothing.
    """
    alias = database()
    wanted = sorted(set(ids))
    request = partial(dialect_for(alias).request_cancel, connections[alias], wanted)
    rows, has_marks = tried_again(alias, request) if wanted else ([], False)
    for queue_name in {row.queue_name for row in rows if row.status == Task.STATUS_IN_PROCESS}:
        notifications.announce_cancel(alias, queue_name)
    cancelled = sorted(row.id for row in rows if row.status == Task.STATUS_CANCELLED)
    tell_cancelled(cancelled, ASKED)
    if has_marks:
        tell_dependents_after_commit()
    return CancelRequest(
        cancelled, sorted(row.id for row in rows if row.status == Task.STATUS_IN_PROCESS)
    )


class Requests(dict[int, int]):
    """The tasks that a manager holds and should stop: their leases by their ids."""

    followed: frozenset[int] = frozenset()
    """Those that it holds and that somebody follows."""


def requests_to(manager_id: int) -> Requests:
    """Return what is asked of a manager: which of its tasks to stop, and which are followed."""
    rows = (
        task_rows()
        .filter(is_in_process(), manager_id=manager_id)
        .annotate(is_followed=has_followers())
        .filter(Q(cancel_requested_at__isnull=False) | Q(is_followed=True))
        .values_list("pk", "lease", "cancel_requested_at", "is_followed")
    )
    asked = list(rows)
    requests = Requests((pk, lease) for pk, lease, requested_at, _ in asked if requested_at)
    requests.followed = frozenset(pk for pk, _, _, is_followed in asked if is_followed)
    return requests
