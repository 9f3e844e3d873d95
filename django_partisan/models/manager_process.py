"""The table of running managers."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from django_partisan.models.moments import MomentField


class ManagerProcess(models.Model):
    """One running manager: who owns claimed tasks, and since when it was last heard of."""

    class State(models.TextChoices):
        """What the manager is doing."""

        RUNNING = "running", "Running"
        STOPPING = "stopping", "Stopping"

    id = models.BigAutoField(primary_key=True)
    node_name = models.CharField(max_length=255)
    pid = models.IntegerField()
    boot_id = models.CharField(
        max_length=255, help_text="The boot and pid namespace in which the pid means something."
    )
    process_started = models.CharField(
        max_length=64, help_text="The process's start time by its system, so a reused pid is seen."
    )
    launchers = models.JSONField(
        null=True,
        help_text="The processes that start workers, each with its pid and start time: "
        "whoever takes over makes sure that their sessions have ended.",
    )
    version = models.CharField(max_length=32)
    queues = models.JSONField(default=list)
    label = models.CharField(
        max_length=100, blank=True, db_default="", help_text="What --label has called it."
    )
    state = models.CharField(max_length=20, choices=State.choices, default=State.RUNNING)
    started_at = MomentField(db_default=Now())
    last_seen = MomentField(db_default=Now())
    snapshot = models.JSONField(default=dict, help_text="What each worker runs right now.")

    schedules = models.JSONField(
        null=True, help_text="The schedules of the code that it runs: their definitions by key."
    )

    class Meta:
        verbose_name_plural = "manager processes"

    def __str__(self) -> str:
        return f"{self.node_name}/{self.pid}"
