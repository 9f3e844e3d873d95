"""The manager's standing among managers: its beats, its fence, its rescue of other's orphans."""

from __future__ import annotations

import logging
import time
from enum import Enum
from typing import Any, Final

from django_partisan import lifecycle
from django_partisan.attempt import ClaimedTask
from django_partisan.database.values import Pulse
from django_partisan.fault_points import reach
from django_partisan.identity import own_identity
from django_partisan.lifecycle import managers
from django_partisan.settings import ProcessSettings

logger = logging.getLogger(__name__)
RESCUE_BATCH: Final = 500
"""Orphans that one statement gives back."""
_RESCUED: Final = "The manager that held the task gave no sign of life any more."


class Fence(Enum):
    """How far a manager without a good beat must restrain itself."""

    OPEN = "may act"
    HOLD = "may not hand out"
    SHUT = "may not run work"


class Heartbeat:
    """One manager's registration. Everybody who reads the tables agrees by it on who lives.

    Two thirds of PARTISAN_DEAD_AFTER_SECONDS without a good beat and the manager hands out
    nothing; all of it, and what it runs is stopped, because peers may be running it by then.
    """

    def __init__(self, queue_name: str, settings: ProcessSettings) -> None:
        self._queue_name = queue_name
        self._settings = settings
        self.identity = own_identity(settings.NODE_NAME)
        self.manager_id: int | None = None
        self.predecessors: list[int] = []
        self._former: int | None = None
        self._good_at = 0.0
        self._unbroken_since = 0.0
        self._beat_at = 0.0
        self._rescue_at = 0.0
        self._has_orphans = False

    def fence(self) -> Fence:
        """Return the restraint that holds at this very moment."""
        if self.manager_id is None:
            return Fence.SHUT
        silent = time.monotonic() - self._good_at
        if silent >= self._settings.DEAD_AFTER_SECONDS:
            return Fence.SHUT
        if silent >= self._settings.DEAD_AFTER_SECONDS * 2 / 3:
            return Fence.HOLD
        return Fence.OPEN

    def fence_at(self) -> float:
        """Return when the fence closes further unless a beat succeeds before."""
        dead_after = self._settings.DEAD_AFTER_SECONDS
        is_held = time.monotonic() - self._good_at >= dead_after * 2 / 3
        return self._good_at + (dead_after if is_held else dead_after * 2 / 3)

    def register(self) -> None:
        """Store the manager's row; it may act from now on, its predecessors count as dead."""
        sent_at = time.monotonic()
        self.manager_id, self.predecessors = managers.register(
            self.identity,
            [self._queue_name],
            dead_after=self._settings.DEAD_AFTER_SECONDS,
            # At the start alone: two that have one name by mistake would oust each other for ever.
            is_named=self._settings.NODE_NAME is not None and self._former is None,
            former=self._former,
        )
        self._good_at = self._unbroken_since = sent_at
        self._beat_at = sent_at + self._settings.HEARTBEAT_SECONDS
        self._rescue_at = sent_at

    def lose(self) -> None:
        """Give the registration up; :meth:`register` makes a new one, successor to it."""
        self._former = self.manager_id or self._former
        self.manager_id = None

    def is_beat_due(self, now: float) -> bool:
        """Say whether it is time for a beat."""
        return self.manager_id is not None and now >= self._beat_at

    def beat(
        self, state: str, snapshot: dict[str, Any], queue_name: str | None = None
    ) -> Pulse | None:
        """Beat; None when the registration is gone, so that the manager must stop its work.

        With ``queue_name``, a survey of that queue comes with the answer.
        """
        assert self.manager_id is not None
        sent_at = time.monotonic()
        dead_after = self._settings.DEAD_AFTER_SECONDS
        if sent_at - self._good_at > dead_after / 2:
            self._unbroken_since = sent_at
        pulse = managers.beat(self.manager_id, state, snapshot, dead_after, queue_name)
        if not pulse.is_alive:
            return None
        self._has_orphans = pulse.has_orphans
        self._good_at = sent_at
        self._beat_at = sent_at + self._settings.HEARTBEAT_SECONDS
        return pulse

    def next_deadline(self, *, rescues: bool) -> float:
        """Return when the next beat is due, or the next rescue if this manager still does that."""
        return (
            min(self._beat_at, self._rescue_at) if rescues and self._has_orphans else self._beat_at
        )

    def take_over(self, limit: int) -> list[ClaimedTask]:
        """Return up to ``limit`` orphans of the predecessors, now one's own.

        When none is left, what they held of other queues is rescued, and they are forgotten.
        """
        assert self.manager_id is not None
        orphans = managers.orphans_of(self.predecessors)
        taken = lifecycle.take_over(
            orphans,
            self.manager_id,
            queue_name=self._queue_name,
            limit=limit,
            max_rescues=self._settings.MAX_RESCUES,
        )
        reach("manager.took_over")
        if taken:
            # What is left to do comes with the next call: an error of it must not lose these.
            logger.warning("took over %d tasks that a former manager left unfinished", len(taken))
            return taken
        self._rescue(orphans)
        managers.forget(self.predecessors)
        self.predecessors = []
        return []

    def rescue_if_due(self, now: float) -> None:
        """Give orphans of dead managers back, once one's own beats prove the database well."""
        if not self._has_orphans or now < self._rescue_at:
            return
        dead_after = self._settings.DEAD_AFTER_SECONDS
        # After an outage everybody's last beat is old, so nobody can be judged by it yet.
        self._rescue_at = max(self._rescue_at, self._unbroken_since + dead_after)
        if now < self._rescue_at:
            return
        self._rescue_at = now + self._settings.RESCUE_INTERVAL_SECONDS
        self._has_orphans = self._rescue(managers.orphans(dead_after)) == RESCUE_BATCH
        if self._has_orphans:
            self._rescue_at = now
        managers.forget_dead(dead_after)

    def deregister(self) -> None:
        """Remove the manager's row."""
        if self.manager_id is not None:
            managers.deregister(self.manager_id)

    def _rescue(self, orphans: Any) -> int:
        moved = lifecycle.rescue(
            orphans,
            limit=RESCUE_BATCH,
            max_rescues=self._settings.MAX_RESCUES,
            reason=_RESCUED,
        )
        if moved:
            logger.warning("rescued %d tasks whose manager is gone", len(moved))
        return len(moved)
