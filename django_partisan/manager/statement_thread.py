"""The thread of the one statement that the manager's loop does not wait for."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from django_partisan.logs import Reasons

logger = logging.getLogger(__name__)
Call = Callable[[], Any]
"""What the thread runs; its value or its error is the answer."""
_STOP: Final = None


class StatementThread:
    """Runs one call at a time; its descriptor is readable once the call has ended.

    The thread starts with the first call. It is a daemon, so that a call which never returns
    cannot keep the process.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._reader, self._writer = os.pipe()
        self._thread: threading.Thread | None = None
        self._reasons = Reasons()
        self._value: Any = None
        self._error: BaseException | None = None

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._reader

    def start(self, call: Call) -> None:
        """Begin a call; the one before it must have been waited for."""
        if self._thread is None and not self._has_begun():
            self._make(call)  # In the loop's own time: slower, and right.
        else:
            self._calls.put(call)

    def result(self) -> Any:
        """Wait for the call and return what it returned; raise what it raised."""
        os.read(self._reader, 1)
        value, error = self._value, self._error
        self._value = self._error = None
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """End the thread; no call may be under way."""
        if self._thread is not None:
            self._calls.put(_STOP)
            self._thread.join()
        os.close(self._reader)
        os.close(self._writer)

    def _has_begun(self) -> bool:
        """Start the thread; False when the system has none to give."""
        thread = threading.Thread(target=self._run, name="statement", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:
            if self._reasons.add(error):
                logger.error("statements are made in the manager's loop: %s", error)  # noqa: TRY400
            return False
        self._thread = thread
        return True

    def _run(self) -> None:
        while (call := self._calls.get()) is not _STOP:
            self._make(call)
            del call

    def _make(self, call: Call) -> None:
        try:
            self._value = call()
        except BaseException as error:  # noqa: BLE001 - it is raised by result()
            self._error = error
        os.write(self._writer, b"!")
