"""What workers print, on its way to the manager's own stream: by a thread, so that nobody waits."""

from __future__ import annotations

import contextlib
import os
import selectors
import sys
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from django_partisan.config.const import NEVER
from django_partisan.payloads.printed import missing

STANDARD_ERROR: Final = 2
FULL_BYTES: Final = 256 << 10
"""With so much waiting nothing more is read of what workers print, as long as some of it goes."""
MOST_BYTES: Final = 1 << 20
"""What comes beyond this is not shown."""
STUCK_SECONDS: Final = 1.0
"""After so long without a byte that goes, the stream counts as stopped: nobody waits for it."""
_LAST_SECONDS: Final = 1.0
_STOP: Final = None


class Forwarder:
    """Writes bytes to a stream of the manager's, in their order, without ever waiting for it.

    A stream that is slow makes whoever prints wait; one that is stopped, as a terminal by Ctrl-S,
    makes nobody wait: what it does not take is left out, and it is told how much that was.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        # Where it was closed when Python began, the number may be anything by now.
        self._fd = -1 if sys.__stderr__ is None else STANDARD_ERROR
        self._selector = selector
        self._chunks: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._given = 0
        self._written = 0
        self._left_out = 0
        self._progress = (0, 0.0)
        self._is_stuck = False
        self._waiting: list[Callable[[], None]] = []
        self._woken = self._wake = -1

    @property
    def is_full(self) -> bool:
        """Whether whoever has more should wait for :meth:`when_there_is_room`."""
        return self._given - self._written > FULL_BYTES and not self._is_stuck

    def put(self, data: bytes) -> None:
        """Have bytes written after all that was put before."""
        if self._given - self._written > MOST_BYTES:
            self._left_out += len(data)
            return
        if self._left_out:
            data = missing(self._left_out).encode() + data
            self._left_out = 0
        self._given += len(data)
        if self._thread is None and not self._has_begun():
            self._write(data)
        else:
            self._chunks.put(data)

    def when_there_is_room(self, go_on: Callable[[], None]) -> None:
        """Call back once there is room again, or nothing is waited for any more."""
        if not self._waiting:
            self._progress = (self._written, time.monotonic())
        self._waiting.append(go_on)

    def next_deadline(self) -> float:
        """Return when to see whether the stream has stopped, NEVER while nobody waits for it."""
        return self._progress[1] + STUCK_SECONDS if self._waiting else NEVER

    def turn(self, now: float) -> None:
        """Let nobody wait any longer for a stream that takes nothing."""
        if now < self.next_deadline():
            return
        if self._written == self._progress[0]:
            self._is_stuck = True
            self._go_on()
        else:
            self._progress = (self._written, now)

    def close(self) -> None:
        """Write what is left, unless that takes too long."""
        if self._thread is None:
            return
        self._chunks.put(_STOP)
        self._thread.join(_LAST_SECONDS)
        self._selector.unregister(self._woken)
        if not self._thread.is_alive():
            os.close(self._woken)
            os.close(self._wake)

    def _has_room(self) -> None:
        os.read(self._woken, 4096)
        self._is_stuck = False
        self._go_on()

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            go_on()

    def _has_begun(self) -> bool:
        thread = threading.Thread(target=self._run, name="forwarding", daemon=True)
        try:
            if self._wake < 0:
                self._woken, self._wake = os.pipe()
                os.set_blocking(self._wake, False)
                self._selector.register(self._woken, selectors.EVENT_READ, self._has_room)
            thread.start()
        except (RuntimeError, MemoryError, OSError):
            return False  # In the loop's own time then.
        self._thread = thread
        return True

    def _run(self) -> None:
        while (data := self._chunks.get()) is not _STOP:
            was_full = self._given - self._written > FULL_BYTES // 2
            self._write(data)
            if was_full and self._given - self._written <= FULL_BYTES // 2:
                with contextlib.suppress(OSError):
                    os.write(self._wake, b"!")

    def _write(self, data: bytes) -> None:
        """Write everything; what nobody takes any more is lost, as it is for any program."""
        left = memoryview(data)
        try:
            while left:
                written = os.write(self._fd, left[:65536])
                self._written += written
                left = left[written:]
        except OSError:
            self._written += len(left)
