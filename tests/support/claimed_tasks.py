"""Claimed tasks made up for tests that need no database."""

from __future__ import annotations

from typing import Any

from django_partisan.attempt import FINISHED, ClaimedTask, Outcome


def claimed_task(task_id: int = 1, **changes: Any) -> ClaimedTask:
    """Return a claimed task with plain values, changed where the test says so."""
    plain = ClaimedTask(
        id=task_id,
        lease=1,
        processor_class="shop.Mail",
        arguments='{"args":[],"kwargs":{}}',
        queue_name="default",
        priority=10,
        due=float(task_id),
        attempts=1,
        retries=0,
        postpones=0,
        rescues=0,
        crashes=0,
    )
    return plain._replace(**changes)


def finished_outcome(task: ClaimedTask) -> Outcome:
    """Return the outcome of a task that took a second."""
    return Outcome(task.id, task.lease, FINISHED, 1.0, 2.0)
