"""What a task is to wait for, as `.delay()` was given it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django_partisan.config.wording import shown
from django_partisan.lifecycle import After
from django_partisan.lifecycle.dependencies import checked_policy
from django_partisan.lifecycle.rows import database
from django_partisan.models import Task


def after_of(source: Any, after: Iterable[Task] | None, on_dependency_failure: str) -> After | None:
    """Return what a processor's task waits for; None where that is nothing.

    Raises TypeError for what are no tasks, ValueError for tasks that were not stored, for those of
    another database, and for an unknown rule.
    """
    policy = checked_policy(on_dependency_failure)
    if after is None:
        return None
    if isinstance(after, Task) or not isinstance(after, Iterable):
        raise TypeError(f"after takes a list of tasks, write after=[...]; got {shown(after)}")
    ids = [_id_of(task) for task in after]
    if ids and source.DEBOUNCE_SECONDS is not None:
        name = (source if isinstance(source, type) else type(source)).__qualname__
        raise ValueError(
            f"{name}.DEBOUNCE_SECONDS decides when its tasks run; leave after away, or derive a "
            "class with DEBOUNCE_SECONDS = None"
        )
    return After(ids, policy) if ids else None


def _id_of(task: object) -> int:
    if not isinstance(task, Task):
        raise TypeError(f"after takes tasks, as .delay() returns them; got {shown(task)}")
    if task.pk is None:
        raise ValueError(f"after: {task} is not stored, or was deleted")
    if task._state.db not in (None, database()):  # noqa: SLF001 - there is no other way to ask
        raise ValueError(
            f"after: task {task.pk} is in the database {task._state.db!r}, and tasks are stored in "  # noqa: SLF001
            f"{database()!r}: a task can only wait for those beside it"
        )
    return int(task.pk)
