"""Where a task in process is: it runs, it waits in a local queue, or its manager is gone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from django_partisan.admin.managers import with_liveness
from django_partisan.admin.rendering import duration, exact
from django_partisan.models import ManagerProcess, Task


class Position(NamedTuple):
    """Where a task is, in a few words and in a sentence."""

    short: str
    long: str


def holders_of(tasks: Iterable[Task]) -> dict[int, ManagerProcess]:
    """Return the managers that hold tasks now by their id, each with whether it lives."""
    ids = {task.manager_id for task in tasks if task.manager_id is not None}
    return with_liveness(ManagerProcess.objects.filter(pk__in=ids)).in_bulk() if ids else {}


def position(task: Task, holder: ManagerProcess | None) -> Position:
    """Say where a task in process is, as far as its manager told with its last heartbeat."""
    if holder is None or not holder.is_live:  # type: ignore[attr-defined]
        return Position("orphan", "its manager is gone, so it will go back to its queue")
    now = task.database_now  # type: ignore[attr-defined]
    # Written before the start only for a task that was rescued before.
    since, where = task.started_at, ""
    if (told := _told_of(task, holder)) is not None:
        since = holder.last_seen - timedelta(seconds=told["seconds"])
        where = f", in worker process {told['pid']}"
    if since is not None:
        return Position(f"runs for {duration(now - since)}", f"since {exact(since)}{where}")
    claimed_at = task.claimed_at or task.updated_at
    claimed = f"claimed {exact(claimed_at)}"
    # Whoever called select_for_process() tells nothing.
    if "workers" in holder.snapshot and claimed_at <= holder.last_seen:
        ago = duration(now - holder.last_seen)
        return Position("in a local queue", f"{claimed}, not begun at the heartbeat {ago} ago")
    ago = duration(now - claimed_at)
    return Position(f"claimed {ago} ago", f"{claimed}; whether it runs is not known yet")


def _told_of(task: Task, holder: ManagerProcess) -> dict[str, Any] | None:
    workers = holder.snapshot.get("workers", ())
    # The lease: an earlier attempt at the same task may have run at that heartbeat.
    told = (each | {"pid": w["pid"]} for w in workers for each in (w, *w.get("beside", ())))
    of_task = (t for t in told if (t.get("task"), t.get("lease")) == (task.pk, task.lease))
    return next(of_task, None)
