"""The tables of what tries have printed, and of who follows that while it is printed."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from django_partisan.models.moments import MomentField
from django_partisan.models.task import Task
from django_partisan.payloads.printed import whole_text


class Output(models.Model):
    """What one try at a task has printed: its head and its tail. None for one that was silent."""

    id = models.BigAutoField(primary_key=True)
    # No database constraint: finished tasks are deleted in raw batches. The key begins with it.
    task = models.ForeignKey(
        Task,
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="output_set",
    )
    lease = models.BigIntegerField()
    number = models.IntegerField(help_text="1 for the task's first try.")
    head = models.TextField(blank=True, help_text="The beginning, 64 KiB at most.")
    tail = models.TextField(blank=True, help_text="The end, 192 KiB at most.")
    left_out = models.BigIntegerField(
        default=0, help_text="How many bytes between them were left out."
    )
    updated_at = MomentField(db_default=Now())

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=["task", "lease"], name="partisan_output_of_try"),
        )

    def __str__(self) -> str:
        return f"output of attempt {self.number} of task {self.task_id}"

    @property
    def text(self) -> str:
        """Head and tail, with a line between them where something was left out."""
        return whole_text(self.head, self.tail, self.left_out)


class Follower(models.Model):
    """Somebody who reads what a task prints while it runs, until a moment of the database."""

    id = models.BigAutoField(primary_key=True)
    task = models.ForeignKey(
        Task,
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="follower_set",
    )
    until = MomentField()

    class Meta:
        indexes = (models.Index(fields=["task"], name="partisan_follower_task"),)

    def __str__(self) -> str:
        return f"a follower of task {self.task_id}"
