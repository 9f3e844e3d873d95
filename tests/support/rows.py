"""Rows of the database as tests need them, made without the engine."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from django_partisan.models import Attempt, Task

PROCESSOR = "tests.app.partisan_tasks.Gone"


def make_task(status: str = "new", *, ended_ago: float | None = None, **columns: Any) -> Task:
    """Store a task of any status; ``ended_ago`` is in seconds and fills in the earlier moments."""
    given = {"processor_class": PROCESSOR, "arguments": {"args": [], "kwargs": {}}, **columns}
    task = Task(status=status, **given)
    if ended_ago is not None:
        task.finished_at = timezone.now() - timedelta(seconds=ended_ago)
        task.started_at = task.finished_at - timedelta(seconds=1.5)
        task.claimed_at = task.started_at - timedelta(seconds=0.5)
    task.save()
    return task


def make_attempt(task: Task, number: int = 1, **columns: Any) -> Attempt:
    """Store an attempt that failed, unless the columns say otherwise."""
    given = {"outcome": "failed", "error_type": "ValueError", "lease": number, **columns}
    return Attempt.objects.create(task=task, number=number, **given)
