"""Writing what running tasks tell of themselves, each under the lease of its claim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.db import connections

from django_partisan.attempt import Interim
from django_partisan.database import dialect_for
from django_partisan.database.autocommit import autocommit
from django_partisan.exceptions import LeaseLost
from django_partisan.fault_points import reach
from django_partisan.lifecycle.conflicts import tried_again
from django_partisan.lifecycle.rows import database, progress_rows, task_rows


def write_interims(interims: Sequence[Interim]) -> set[int]:
    """Write what tasks tell; return the ids of those for whom it was written.

    The others' leases have passed, or somebody has locked their rows: nobody is waited for.
    """
    alias = database()
    return dialect_for(alias).write_interims(connections[alias], interims, waits=False)


def leases_held(interims: Iterable[Interim]) -> set[int]:
    """Return the tasks, by their ids, whose leases are still those under which they tell."""
    leases = {interim.task_id: interim.lease for interim in interims}
    rows = task_rows().filter(pk__in=leases).values_list("pk", "lease")
    return {pk for pk, lease in rows if leases[pk] == lease}


def forget_checkpoints(ids: Iterable[int]) -> None:
    """Forget from where tasks could be resumed that have finished; their progress stays."""
    rows = progress_rows().filter(pk__in=ids, checkpoint__isnull=False)
    rows.update(checkpoint=None, checkpointed_at=None)


def write_checkpoint(interim: Interim) -> None:
    """Write a checkpoint on the caller's own connection: it commits with the caller's transaction.

    Without one it is committed when this returns. Within one the task stays locked until that ends:
    nobody rescues or cancels it meanwhile, and its effects commit with the checkpoint or not at
    all. Raises LeaseLost when the task is somebody else's by now, and lets no transaction commit
    then, whoever catches that.
    """
    alias = database()
    connection = connections[alias]

    def write() -> set[int]:
        with autocommit(connection):
            return dialect_for(alias).write_interims(connection, [interim], waits=True)

    if interim.task_id in tried_again(alias, write):
        reach("worker.saved_a_checkpoint")
        return
    if connection.in_atomic_block:
        connection.needs_rollback = True
    raise LeaseLost(
        f"Task {interim.task_id} is not this worker's any more (lease {interim.lease} has passed): "
        "its checkpoint is not saved. It was rescued, cancelled or finished elsewhere."
    )


class StoredCheckpoint(NamedTuple):
    """From where a task can be resumed: JSON text, by which version of its processor."""

    text: str
    version: int
    resumptions: int


def stored_checkpoint(task_id: int) -> StoredCheckpoint | None:
    """Return the last checkpoint of a task; None where it has none."""
    rows = progress_rows().filter(pk=task_id, checkpoint__isnull=False)
    columns = ("checkpoint", "schema_version", "resumptions")
    found = rows.values_list(*columns).first()
    return None if found is None else StoredCheckpoint(*found)
