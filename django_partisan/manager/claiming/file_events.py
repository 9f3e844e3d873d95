"""The kernel's events on one file, where it tells them (inotify on Linux)."""

from __future__ import annotations

import contextlib
import weakref
from pathlib import Path
from typing import Any, Final

try:
    from inotify_simple import INotify, flags
except ImportError:  # there is none but on Linux
    INotify = None

IS_AVAILABLE: Final = INotify is not None
"""Whether this system has such events at all."""


class FileEvents:
    """Tells that a file was written to, by a descriptor that becomes readable then.

    Raises OSError where the kernel refuses: the user has no inotify instance or no watch left.
    One watch on one file: equal events melt into one while they are not read, so that the queue
    does not overflow.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inotify: Any = INotify(nonblocking=True)
        # Whoever drops this object has no more use for the descriptor.
        self.close = weakref.finalize(self, self._inotify.close)
        self._watch: int | None = self._add()
        self._stamp = self._stamp_now()

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return int(self._inotify.fileno())

    @property
    def is_watching(self) -> bool:
        """Whether there is a file to watch; :meth:`take` watches it anew once it is there again."""
        return self._watch is not None

    def take(self) -> bool:
        """Read all events without waiting; say whether there was any.

        A file that was deleted or moved is watched anew under its path.
        """
        events = self._inotify.read(timeout=0)
        gone = flags.DELETE_SELF | flags.MOVE_SELF | flags.IGNORED | flags.UNMOUNT
        if any(event.wd == self._watch and event.mask & gone for event in events):
            self._watch_anew()
            return True
        if self._watch is None:
            self._watch_anew()
            return self.is_watching
        return bool(events)

    def is_written(self) -> bool:
        """Say whether the file was written to since it is watched, by its times and its size.

        Ask before :meth:`take`: of a write in between an event arrives.
        """
        return self._stamp_now() != self._stamp

    def _add(self) -> int:
        mask = flags.MODIFY | flags.DELETE_SELF | flags.MOVE_SELF
        return int(self._inotify.add_watch(self._path, mask))

    def _watch_anew(self) -> None:
        if self._watch is not None:
            # A file that was moved would go on to be watched where it is now.
            with contextlib.suppress(OSError):
                self._inotify.rm_watch(self._watch)
        self._watch = None
        with contextlib.suppress(OSError):
            self._watch = self._add()

    def _stamp_now(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size
