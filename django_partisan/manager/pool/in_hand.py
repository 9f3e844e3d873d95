"""A task that a worker has in hand, and when the worker is killed because of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from django_partisan.attempt import ClaimedTask
from django_partisan.exceptions import TaskTimedOut
from django_partisan.wire.messages import Limited


@dataclass(slots=True)
class InHand:
    """A task that a worker was handed and has not reported yet."""

    task: ClaimedTask
    chunk: int
    seconds: float | None
    is_asked_back: bool = False
    since: float = 0.0
    """When it was handed out."""

    def is_of(self, task_id: int, lease: int) -> bool:
        """Say whether this is that task under that lease."""
        return self.task.id == task_id and self.task.lease == lease

    def told(self, now: float) -> dict[str, Any]:
        """Return what the manager's row shows of it."""
        task, seconds = self.task, round(now - self.since, 3)
        name = task.processor_class
        return {"task": task.id, "lease": task.lease, "processor": name, "seconds": seconds}


class HardLimit(NamedTuple):
    """When a worker is killed unless its task has ended, and what the task then ends with."""

    kill_at: float
    error: BaseException
    started: float | None
    grace: float


def hard_limit_of(limited: Limited) -> HardLimit:
    """Return the hard limit of a task that starts with a limit of its own."""
    error = TaskTimedOut(limited.limit, killed=killed_after(limited.grace))
    kill_at = limited.started + limited.limit + limited.grace
    return HardLimit(kill_at, error, limited.started, limited.grace)


def killed_after(grace: float) -> str:
    """Say why the worker of a task was killed."""
    return f" It did not stop within {grace:g} s after that, so its worker was killed."
