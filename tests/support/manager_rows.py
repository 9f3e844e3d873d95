"""Rows of managers, living and dead, and the clock by which one judges another."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from django_partisan.database.values import Pulse
from django_partisan.identity import own_identity
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.models import ManagerProcess
from tests.support.factories import claim, enqueue

STATE = ManagerProcess.State.RUNNING


class Clock:
    """A monotonic clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0  # Sums of whole seconds are exact.

    def monotonic(self) -> float:
        """Return the time, as the module of this name would."""
        return self.now


def row(**columns: Any) -> ManagerProcess:
    """Store a manager's row as another process would have."""
    mine = own_identity()
    values = {
        "node_name": mine.node_name,
        "pid": dead_pid(),
        "boot_id": mine.boot_id,
        "process_started": "1",
        "version": "test",
    }
    return ManagerProcess.objects.create(**{**values, **columns})


def dead_pid() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def grow_old(pk: int, seconds: float = 3600) -> None:
    """Set a manager's last beat back."""
    old = Now() - timedelta(seconds=seconds)
    ManagerProcess.objects.filter(pk=pk).update(last_seen=old)


def id_of(made: Heartbeat) -> int:
    """Return the id under which a manager is registered."""
    assert made.manager_id is not None
    return made.manager_id


def beaten(made: Heartbeat, *queue_names: str) -> Pulse:
    """Beat and return what the manager learnt by it."""
    pulse = made.beat(STATE, {}, queue_names)
    assert pulse is not None
    return pulse


def taken_by(manager_id: int) -> int:
    """Enqueue a task and claim it for a manager; return its id."""
    enqueue(1)
    return claim(1, owner=manager_id)[0].id
