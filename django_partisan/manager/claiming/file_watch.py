"""When to look whether somebody else has committed to an SQLite file."""

from __future__ import annotations

import logging
from typing import Final

from django_partisan.config.const import NEVER
from django_partisan.logs import Reasons
from django_partisan.manager.claiming import file_events
from django_partisan.manager.claiming.file_events import FileEvents
from django_partisan.manager.database_link import DatabaseLink

logger = logging.getLogger(__name__)
VERSION_CHECK_SECONDS: Final = 0.05
"""How often the file is looked at while the kernel does not tell of writes to it."""
LATE_LOOK_SECONDS: Final = 1.0
"""How long the kernel's silence is trusted before a look that is due anyway proves it."""
_AFTER_EVENT: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""The waits in seconds from look to look after an event: it comes with the write, and the commit
can be seen only later, after a wait for the disk."""
_AFTER_COMMIT: Final = (0.005, 0.02, 0.1, 0.5)
"""The same once a commit was seen: of another one behind it the event may be read by now. The first
also bounds how often a manager looks beside somebody who commits all the time."""
_AFTER_OWN: Final = (0.02, 0.1, 0.5)
"""The same after an event while this connection has written itself: most likely it told of that.
A manager that records all the time does not come to the first."""


class FileWatch:
    """Learns that another connection has committed to the file; knows nothing of other databases.

    The kernel tells of writes to the write-ahead log, and ``PRAGMA data_version`` whether they
    were somebody else's commit. Where the kernel tells nothing, or misses a write once, the file
    is looked at twenty times a second: until the next connection, and a warning says why.
    """

    def __init__(self, link: DatabaseLink) -> None:
        self._link = link
        self._version: int | None = None
        self._events: FileEvents | None = None
        self._reasons = Reasons()
        self._own_changes = 0
        self._waits: tuple[float, ...] = ()
        self._is_proven = False
        self._is_deaf = False
        self._is_resting = False
        self._late_look_at = 0.0
        self.next_look = NEVER
        """When :meth:`has_changed` has something to do without any event."""

    @property
    def is_watching(self) -> bool:
        """Whether there is a file that can be looked at."""
        return self._version is not None

    @property
    def is_told(self) -> bool:
        """Whether the kernel tells of writes, as far as is known."""
        return self._events is not None and not self._is_deaf and self._events.is_watching

    def connect(self) -> None:
        """Begin anew on a fresh connection."""
        link = self._link
        self._waits = ()
        self._is_proven = self._is_deaf = self._is_resting = False
        self._listen()
        # In this order: of a commit in between an event arrives.
        self._version = link.dialect.data_version(link.connection)
        self._own_changes = link.dialect.own_changes(link.connection)
        self.next_look = NEVER if self._version is None else 0.0

    def file_descriptor(self) -> int | None:
        """Return the descriptor that becomes readable with a write, None while none is heeded."""
        if self._events is None or not self.is_told or self._is_resting:
            return None
        return self._events.fileno()

    def has_changed(self, now: float) -> bool:
        """Say whether another connection has committed; looks only if it is time to."""
        if self._version is None or (self._is_resting and now < self.next_look):
            return False
        is_told = self._take_events()
        if not is_told and now < min(self.next_look, self._late_look_at):
            return False
        has_changed = self._look()
        self._plan(now, is_told=is_told, has_changed=has_changed)
        return has_changed

    # ----- what the kernel tells -----

    def _listen(self) -> None:
        """Have the kernel tell of writes, where it can."""
        self._events = None
        path = self._link.dialect.watched_path(self._link.connection)
        if path is None or not file_events.IS_AVAILABLE:
            return
        try:
            self._events = FileEvents(path)
        except OSError as error:
            self._tell(error)

    def _take_events(self) -> bool:
        """Take events in; say whether there was any."""
        if self._events is None or self._is_deaf:
            return False
        # The manager's own registration is the first write.
        is_written = not self._is_proven and self._events.is_written()
        is_told = self._events.take()
        self._is_proven = self._is_proven or is_told
        if is_written and not is_told:
            self._give_up()
        return is_told

    def _give_up(self) -> None:
        self._is_deaf = True
        self._tell(OSError("a write raised no event"))

    def _tell(self, error: OSError) -> None:
        if self._reasons.add(error):
            logger.warning(
                "the kernel does not tell of writes to the database's file (%s); "
                "looking at it every %d ms instead",
                error,
                VERSION_CHECK_SECONDS * 1000,
            )

    # ----- looking -----

    def _look(self) -> bool:
        version = self._link.dialect.data_version(self._link.connection)
        has_changed = version != self._version
        self._version = version
        return has_changed

    def _plan(self, now: float, *, is_told: bool, has_changed: bool) -> None:
        """Decide when to look next."""
        is_announced = is_told or bool(self._waits)
        if has_changed and not is_announced and self.is_told and not self._take_events():
            self._give_up()
        has_written = self._has_written()
        if has_changed:
            self._waits = _AFTER_COMMIT
        elif is_told:
            self._waits = _AFTER_OWN if has_written else _AFTER_EVENT
        elif now >= self.next_look:
            self._waits = self._waits[1:]
        self._is_resting = has_changed and self.is_told
        self._late_look_at = now + LATE_LOOK_SECONDS
        self.next_look = self._next_look(now)

    def _has_written(self) -> bool:
        """Say whether this connection itself has written since the last time."""
        former = self._own_changes
        self._own_changes = self._link.dialect.own_changes(self._link.connection)
        return self._own_changes != former

    def _next_look(self, now: float) -> float:
        is_trusted = self.is_told and self._is_proven
        longest = NEVER if is_trusted else VERSION_CHECK_SECONDS
        wait = self._waits[0] if self.is_told and self._waits else NEVER
        return now + min(wait, longest)
