"""Duties of a manager, to be called one by one."""

from __future__ import annotations

from typing import NamedTuple, Self

from django_partisan.manager import WorkersManager
from django_partisan.manager.claiming.claimer import Claimer
from django_partisan.manager.claiming.listener import Listener
from django_partisan.manager.claiming.wakeup import Wakeup
from django_partisan.manager.duties.rescue import Rescue
from django_partisan.manager.duties.takeover import Takeover


def rescue_of(manager: WorkersManager) -> Rescue:
    """Return a duty that rescues the orphans of other managers."""
    return Rescue(manager.heartbeat, manager.standing, manager.process_settings)


def takeover_of(manager: WorkersManager) -> Takeover:
    """Return a duty that takes over what a former manager left."""
    return Takeover(
        manager.choice,
        manager.process_settings,
        manager.heartbeat,
        manager.standing,
        manager.round_trip,
    )


def claimer_of(manager: WorkersManager, queue_name: str = "default") -> Claimer:
    """Return what decides about the claims from a queue that a manager serves."""
    claimer = manager.queues.get(queue_name)
    assert claimer is not None
    return claimer


class Ears(NamedTuple):
    """How a manager learns of tasks of its queue, and what it makes of that."""

    listener: Listener
    wakeup: Wakeup

    @classmethod
    def of(cls, manager: WorkersManager) -> Self:
        """Return those of a manager that serves the default queue."""
        return cls(manager.queues.listener, claimer_of(manager).wakeup)
