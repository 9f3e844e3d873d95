"""The table of progress: what tasks have told of themselves while they ran."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db import models

from django_partisan.models.moments import MomentField


class TaskProgress(NamedTuple):
    """How far a task has come, by its own account; ``at`` is when it said so.

    ``total`` is None where the task has not said how much there is in all.
    """

    done: float
    total: float | None
    message: str
    at: datetime

    @property
    def fraction(self) -> float | None:
        """What share is done, from 0 to 1; None without a total.

        A total may have been too low an estimate: more than all is all.
        """
        if self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total else 1.0


class Progress(models.Model):
    """What one task has told of its progress, and where it could be resumed.

    A table of its own, so that the many tasks that tell nothing have no more columns. It is kept
    with the task; the checkpoint goes when the task has finished, or is put back to new.
    """

    # No database constraint: finished tasks are deleted in raw batches.
    task = models.OneToOneField(
        "django_partisan.Task",
        on_delete=models.CASCADE,
        db_constraint=False,
        primary_key=True,
        related_name="+",
    )
    lease = models.BigIntegerField(help_text="Under which of the task's leases it was written.")
    done = models.FloatField(null=True, blank=True)
    total = models.FloatField(null=True, blank=True)
    message = models.TextField(blank=True, default="")
    progressed_at = MomentField(null=True, blank=True)
    number = models.BigIntegerField(
        default=0, help_text="Of the checkpoint; under one lease, the highest holds."
    )
    checkpoint = models.TextField(  # noqa: DJ001 - there is none
        null=True, blank=True, help_text="JSON of the task's own, from which it can go on."
    )
    schema_version = models.IntegerField(
        default=1, help_text="The SCHEMA_VERSION of the processor that has written it."
    )
    resumptions = models.IntegerField(
        default=0, help_text="How often an error has cost no retry, since there was progress."
    )
    checkpointed_at = MomentField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "progress"

    def __str__(self) -> str:
        return f"progress of task {self.pk}"

    @property
    def told(self) -> TaskProgress | None:
        """What the task has told of its progress; None where it has only saved checkpoints."""
        if self.done is None or self.progressed_at is None:
            return None
        total = None if self.total is None else _plain(self.total)
        return TaskProgress(_plain(self.done), total, self.message, self.progressed_at)


def _plain(number: float) -> float:
    return int(number) if number.is_integer() else number
