"""The handlers of SIGTERM and SIGINT, which note the signal and wake the loop."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def noted_signals(
    selector: selectors.BaseSelector, note: Callable[[], None], *, is_last: bool
) -> Iterator[socket.socket | None]:
    """Call ``note`` for each SIGTERM and SIGINT inside, and make ``selector`` return.

    Yields the socket that is readable from the signal itself until the loop has heard of it.

    When this is the process's last work (``is_last``), such signals are ignored from then on: one
    that comes late must not change the exit code. Else the former handlers return. Does nothing
    outside the main thread, where Python delivers no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield None
        return

    def handle(number: int, frame: Any) -> None:  # noqa: ARG001
        note()

    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    selector.register(wake, selectors.EVENT_READ, lambda: wake.recv(4096))
    former_fd = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    former = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield wake
    finally:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_IGN if is_last else handler)
        signal.set_wakeup_fd(former_fd)
        selector.unregister(wake)
        wake.close()
        woken.close()
