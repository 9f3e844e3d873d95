"""A manager's registration: its row, its beats, and the fence that holds without them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

from django_partisan.config.const import NEVER
from django_partisan.database.values import Pulse
from django_partisan.exceptions import ConfigurationError
from django_partisan.identity import own_identity
from django_partisan.lifecycle import managers
from django_partisan.models import ManagerProcess
from django_partisan.process_groups import Session
from django_partisan.settings import ProcessSettings

MAX_LABEL_LENGTH: Final = 100
"""Characters of the column that holds a manager's label."""


def checked_label(label: str) -> str:
    """Return a manager's label; raise ConfigurationError where it cannot be stored or shown."""
    if len(label) > MAX_LABEL_LENGTH or not label.isprintable():
        raise ConfigurationError(
            f"--label: {label!r} is no name for a manager; give one of {MAX_LABEL_LENGTH} printable"
            " characters at most."
        )
    return label


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

    def __init__(
        self, queue_names: Sequence[str], settings: ProcessSettings, label: str = ""
    ) -> None:
        self.label = label
        self.queue_names = queue_names
        """The queues that the row tells of."""
        self._settings = settings
        self.identity = own_identity(settings.NODE_NAME)
        self.manager_id: int | None = None
        self.predecessors: list[int] = []
        self._former: int | None = None
        self._good_at = 0.0
        self._beat_at = 0.0
        self.unbroken_since = 0.0
        """Since when one's own beats have gone on without a gap that others could notice."""
        self.has_orphans = False
        """Whether the last good beat has told of something to rescue that is still there."""
        self.has_peers = True
        """Whether the last good beat has told of another manager; True while nobody has asked."""
        self.schedules_due_at = NEVER
        """When the next tick of a schedule is due, as far as is known."""
        self.has_pauses = False
        """Whether the last good beat has told of pauses, or of tasks that one has held."""
        self.has_expired = False
        """Whether the last good beat has told of expired tasks that are still there."""
        self.has_untold = False
        """Whether the last good beat has told of dependents that are still to be told."""

    @property
    def dead_after(self) -> float:
        """Seconds without a beat after which others hold this manager for dead."""
        return self._settings.DEAD_AFTER_SECONDS

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

    def register(self, launchers: Sequence[Session] = ()) -> None:
        """Store the manager's row; it may act from now on, its predecessors count as dead."""
        sent_at = time.monotonic()
        self.manager_id, self.predecessors = managers.register(
            self.identity,
            self.queue_names,
            launchers,
            dead_after=self._settings.DEAD_AFTER_SECONDS,
            # At the start alone: two that have one name by mistake would oust each other for ever.
            is_named=self._settings.NODE_NAME is not None and self._former is None,
            former=self._former,
            label=self.label,
        )
        self._good_at = self.unbroken_since = sent_at
        self._beat_at = sent_at + self._settings.HEARTBEAT_SECONDS

    def tell_queues(self, queue_names: Sequence[str]) -> None:
        """Have the row tell of other queues from now on."""
        if self.manager_id is not None:
            managers.note_queues(self.manager_id, queue_names)
        self.queue_names = queue_names

    def lose(self) -> None:
        """Give the registration up; :meth:`register` makes a new one, successor to it."""
        self._former = self.manager_id or self._former
        self.manager_id = None

    def is_beat_due(self, now: float) -> bool:
        """Say whether it is time for a beat."""
        return self.manager_id is not None and now >= self._beat_at

    def beat(
        self, state: str, snapshot: dict[str, Any], queue_names: Sequence[str] = ()
    ) -> Pulse | None:
        """Beat; None when the registration is gone, so that the manager must stop its work.

        A survey of the queues that are named comes with the answer.
        """
        assert self.manager_id is not None
        sent_at = time.monotonic()
        dead_after = self._settings.DEAD_AFTER_SECONDS
        if sent_at - self._good_at > dead_after / 2:
            self.unbroken_since = sent_at
        pulse = managers.beat(self.manager_id, state, snapshot, dead_after, queue_names)
        if not pulse.is_alive:
            return None
        self.has_orphans, self.has_peers = pulse.has_orphans, pulse.has_peers
        due_in = pulse.schedule_due_in
        self.schedules_due_at = NEVER if due_in is None else sent_at + max(0.0, due_in)
        self.has_pauses, self.has_expired = pulse.has_pauses, pulse.has_expired
        self.has_untold = pulse.has_untold
        self._good_at = sent_at
        self._beat_at = sent_at + self._settings.HEARTBEAT_SECONDS
        return pulse

    @property
    def beaten_at(self) -> float:
        """When the last good beat was sent."""
        return self._good_at

    def next_deadline(self) -> float:
        """Return when the next beat is due; at once where there is no registration."""
        return self._beat_at if self.manager_id is not None else 0.0

    def row(self) -> ManagerProcess:
        """Return the manager's row as it was registered, without reading it."""
        manager_id = self.manager_id or self._former
        assert manager_id is not None
        return managers.registered(manager_id, self.identity, self.queue_names, self.label)

    def deregister(self) -> None:
        """Remove the manager's row."""
        if self.manager_id is not None:
            managers.deregister(self.manager_id)
