"""The table of pauses: the queues and processors of which nothing is started for now."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now

from django_partisan.config.const import MAX_STORED_NAME_LENGTH
from django_partisan.models.moments import MomentField


class Pause(models.Model):
    """Nothing of one queue, or of one processor, is started while this row is there.

    A row whose ``until`` has passed counts as gone, whoever still sees it. It is made, changed and
    removed by :mod:`django_partisan.control`.
    """

    id = models.BigAutoField(primary_key=True)
    queue_name = models.CharField(max_length=50, null=True, blank=True)  # noqa: DJ001 - see below
    processor_class = models.CharField(  # noqa: DJ001 - exactly one of both is given
        max_length=MAX_STORED_NAME_LENGTH, null=True, blank=True
    )
    names = models.JSONField(
        default=list, help_text="The names that tasks of the processor may be stored under."
    )
    reason = models.TextField(blank=True)
    paused_by = models.CharField(max_length=255, blank=True)
    paused_at = MomentField(db_default=Now())
    until = MomentField(null=True, blank=True, help_text="When it ends by itself; empty: never.")

    was_paused: bool = False
    """Whether `pause()` has only changed a pause that was there before."""
    ends_in: timedelta | None = None
    """The time left, where `current_pauses()` has read the row; None for no end."""

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(
                fields=["queue_name"],
                condition=models.Q(queue_name__isnull=False),
                name="partisan_pause_queue",
            ),
            models.UniqueConstraint(
                fields=["processor_class"],
                condition=models.Q(processor_class__isnull=False),
                name="partisan_pause_processor",
            ),
            models.CheckConstraint(
                condition=models.Q(queue_name__isnull=True, processor_class__isnull=False)
                | models.Q(queue_name__isnull=False, processor_class__isnull=True),
                name="partisan_pause_of_one",
            ),
        )

    def __str__(self) -> str:
        if self.queue_name is not None:
            return f"queue {self.queue_name!r}"
        return f"processor {self.processor_class}"
