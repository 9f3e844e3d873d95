"""Duties of a manager, to be called one by one."""

from __future__ import annotations

from django_partisan.manager import WorkersManager
from django_partisan.manager.duties.rescue import Rescue
from django_partisan.manager.duties.takeover import Takeover


def rescue_of(manager: WorkersManager) -> Rescue:
    """Return a duty that rescues the orphans of other managers."""
    return Rescue(manager.heartbeat, manager.standing, manager.process_settings)


def takeover_of(manager: WorkersManager) -> Takeover:
    """Return a duty that takes over what a former manager left."""
    return Takeover(
        manager.queue_name,
        manager.process_settings,
        manager.heartbeat,
        manager.standing,
        manager.round_trip,
    )
