"""The deletion of tasks with their attempts; tasks stay at which something points."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from django.db import Error, connections, transaction
from django.db.models import ProtectedError, QuerySet, RestrictedError

from django_partisan.database import dialect_for
from django_partisan.lifecycle.dependencies import tell_dependents_after_commit
from django_partisan.lifecycle.kept_parents import may_go, part_with
from django_partisan.lifecycle.outputs import delete_outputs
from django_partisan.lifecycle.related import held_by, pointed_at_for_the_database
from django_partisan.lifecycle.rows import attempt_rows, database, task_rows
from django_partisan.logs import Reasons
from django_partisan.models import Task

logger = logging.getLogger(__name__)
DELETE_BATCH: Final = 500
"""Tasks that are deleted in one transaction at most."""
_KEYS: Final = ("23503", "23001")
"""How PostgreSQL calls the refusal of a foreign key, and that of one with RESTRICT."""
_reasons = Reasons()


class Deletion(NamedTuple):
    """The ids of the tasks that were deleted, and of those that something keeps."""

    deleted: list[int]
    kept: list[int]


def delete_free(tasks: QuerySet[Task], *, limit: int | None = None) -> Deletion:
    """Delete tasks in one transaction, without waiting for locked rows; keep what has to stay.

    That is what a foreign key protects (PROTECT, RESTRICT, a constraint of the database), or a
    receiver of ``pre_delete`` or a trigger refuses. Each is singled out, so that all others go. An
    error that refuses all of them, and is not about a key, is raised.
    """
    refusals: list[Exception] = []
    done = _delete(tasks, limit, refusals)
    for error in refusals:
        if not done.deleted and not _is_about_keys(error):
            raise error
        _tell(error)
    return done


def _delete(tasks: QuerySet[Task], limit: int | None, refusals: list[Exception]) -> Deletion:
    found: list[int] = []
    kept: set[int] = set()
    try:
        with transaction.atomic(using=database()):
            tasks_found = _locked(tasks, limit) if can_skip_locked() else tasks
            # A DELETE comes first: on SQLite it takes the write lock under which the rest is read.
            attempt_rows().filter(task__in=tasks_found.order_by()).delete()
            delete_outputs(tasks_found.order_by())
            found += tasks_found.values_list("pk", flat=True)
            kept = pointed_at_for_the_database(found)
            if not kept:
                if part_with(found):
                    tell_dependents_after_commit()
                # Only the key is read, so arguments that cannot be decoded are no obstacle.
                task_rows().filter(pk__in=found).only("pk").delete()
                return Deletion(found, [])
            transaction.set_rollback(True, using=database())
    except Exception as error:
        if not found or not _is_refusal(error):
            raise
        refusals.append(error)
        kept = held_by(error).intersection(found)
    return _delete_others(tasks, found, kept, refusals)


def delete_completed(ids: Sequence[int]) -> Deletion:
    """Delete tasks that have finished and are not to be kept; told in the log when it fails.

    Their outcome is recorded: nothing that happens here changes it. What still keeps duplicates out
    is left to :func:`~django_partisan.lifecycle.prune.delete_throttled`.
    """
    rows = task_rows().filter(may_go(), pk__in=ids, status=Task.STATUS_FINISHED, unique_key=None)
    return delete_free(rows.order_by("pk"))


def can_skip_locked() -> bool:
    """Say whether the database can leave out rows that somebody else has locked."""
    return bool(connections[database()].features.has_select_for_update_skip_locked)


def _locked(tasks: QuerySet[Task], limit: int | None) -> QuerySet[Task]:
    locked = tasks.select_for_update(skip_locked=True).values_list("pk", flat=True)
    return tasks.filter(pk__in=list(locked[:limit]))


def _is_refusal(error: Exception) -> bool:
    # Receivers of the project's may refuse a deletion by whatever they like to raise.
    return not isinstance(error, Error) or dialect_for(database()).is_refusal(error)


def _is_about_keys(error: Exception) -> bool:
    if isinstance(error, (ProtectedError, RestrictedError)):
        return True
    cause = error.__cause__
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return code in _KEYS or "FOREIGN KEY" in str(error)


def _delete_others(
    tasks: QuerySet[Task], found: list[int], kept: set[int], refusals: list[Exception]
) -> Deletion:
    """Delete what is left without those that are known to be kept; without any, by halves."""
    if len(found) <= 1:
        return Deletion([], found)
    middle = len(found) // 2
    parts = [[pk for pk in found if pk not in kept]] if kept else [found[:middle], found[middle:]]
    done = Deletion([], sorted(kept))
    for part in filter(None, parts):
        deleted, also_kept = _delete(tasks.filter(pk__in=part), None, refusals)
        done.deleted.extend(deleted)
        done.kept.extend(also_kept)
    return done


def _tell(error: Exception) -> None:
    # The second argument of Django's own refusals are the objects: their texts are not ours.
    reason = str(error.args[0]).strip() if error.args else type(error).__name__
    if _reasons.add(Exception(reason)):
        logger.info("tasks are kept that might go: %s", reason)
