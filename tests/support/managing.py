"""A registered manager without workers in this process, and its turns."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from django_partisan.manager import WorkersManager


@contextlib.contextmanager
def managing(**options: Any) -> Iterator[WorkersManager]:
    """Yield a registered manager of a connected link, which has no workers."""
    made = WorkersManager(**options)
    made.pool.launcher.has_booted = True
    assert made.link.ready(time.monotonic())
    made.heartbeat.register()
    yield made
    made.heartbeat.deregister()
    made.link.end()
    made.selector.close()


def turn(manager: WorkersManager) -> None:
    """Let a manager record and claim what is due, and leave the statement under way."""
    now = time.monotonic()
    assert manager.link.ready(now)
    with manager.link.attempt(now):
        manager.round_trip.turn(now)
