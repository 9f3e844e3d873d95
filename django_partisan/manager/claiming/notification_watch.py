"""Waking the loop when a notification arrives, or the kernel tells of a write."""

from __future__ import annotations

import contextlib
import selectors
import time

from django_partisan.manager.claiming.listener import Listener
from django_partisan.manager.database_link import DatabaseLink


class NotificationWatch:
    """Keeps the listener's descriptor among those that the loop waits for, while it may tell."""

    def __init__(
        self, selector: selectors.BaseSelector, link: DatabaseLink, listener: Listener
    ) -> None:
        self._selector = selector
        self._link = link
        self._listener = listener
        self._watched: tuple[int, int] | None = None

    def take(self) -> None:
        """Take in notifications; of one that came with an answer no descriptor would tell."""
        now = time.monotonic()
        if self._link.is_up and not self._link.is_busy:
            # Nothing here waits for the database, so an error is what there is to look after.
            try:
                self._listener.check(now)
            except Exception:
                with self._link.attempt(now):
                    raise

    def renew(self) -> None:
        """Watch the descriptor as it is now, or none."""
        # While a call is under way, the descriptor would tell of its answer, not of notifications.
        is_ours = self._link.is_up and not self._link.is_busy
        fd = self._listener.file_descriptor() if is_ours else None
        # A new connection may get the old one's descriptor: the number alone proves nothing.
        wanted = None if fd is None else (fd, self._link.connects)
        if wanted == self._watched:
            return
        if self._watched is not None:
            with contextlib.suppress(KeyError, ValueError, OSError):
                self._selector.unregister(self._watched[0])
        if fd is not None:
            self._selector.register(fd, selectors.EVENT_READ, self.take)
        self._watched = wanted
