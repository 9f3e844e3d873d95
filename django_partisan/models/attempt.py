"""The table of attempts: one row for each try at a task that is worth telling."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from django_partisan.models.moments import MomentField
from django_partisan.models.output import Output
from django_partisan.models.task import Task
from django_partisan.payloads.printed import text_of_tries


class Attempt(models.Model):
    """One try at a task that is worth telling: a failure, a retry, a rescue. Append-only."""

    class Outcome(models.TextChoices):
        """How the attempt ended."""

        RETRIED = "retried", "Retried"
        FAILED = "failed", "Failed"
        RESCUED = "rescued", "Rescued"
        CANCELLED = "cancelled", "Cancelled"

    id = models.BigAutoField(primary_key=True)
    # No database constraint: finished tasks are deleted in raw batches.
    task = models.ForeignKey(
        Task, on_delete=models.CASCADE, db_constraint=False, related_name="attempt_set"
    )
    number = models.IntegerField(help_text="1 for the task's first try.")
    lease = models.BigIntegerField()
    outcome = models.CharField(max_length=20, choices=Outcome.choices)
    error_type = models.CharField(max_length=255, blank=True)
    message = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    duration_seconds = models.FloatField(null=True, blank=True)
    worker_pid = models.IntegerField(null=True, blank=True)
    node_name = models.CharField(max_length=255, blank=True)
    created_at = MomentField(db_default=Now())

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"attempt {self.number} of task {self.task_id}: {self.outcome}"

    @property
    def log(self) -> str:
        """What this try has printed; empty when nothing was kept."""
        tries = Output.objects.using(self._state.db)
        return text_of_tries(tries.filter(task_id=self.task_id, lease=self.lease))
