"""The handlers of the manager's signals, which note the signal and wake the loop."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
"""The signals that ask for a stop: of a supervisor, of Ctrl-C, of a terminal that closes."""
REPORT_SIGNAL: Final = signal.SIGUSR1
"""The signal that asks what every worker does."""
_UNUSED_SIGNAL: Final = signal.SIGUSR2


@contextlib.contextmanager
def noted_signals(
    selector: selectors.BaseSelector,
    stop: Callable[[], None],
    report: Callable[[], None],
    *,
    is_last: bool,
) -> Iterator[socket.socket | None]:
    """Call ``stop`` for each signal that asks for a stop, and make ``selector`` return.

    ``report`` is called by the loop, not by the handler: it may do what takes time.

    Yields the socket that is readable from the signal itself until the loop has heard of it; what
    it holds are the signals' numbers.

    When this is the process's last work (``is_last``), such signals are ignored from then on: one
    that comes late must not change the exit code. Else the former handlers return. Does nothing
    outside the main thread, where Python delivers no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield None
        return

    def handle(number: int, frame: Any) -> None:  # noqa: ARG001
        if number in STOP_SIGNALS:
            stop()

    def take() -> None:
        if REPORT_SIGNAL in wake.recv(4096):
            report()

    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    selector.register(wake, selectors.EVENT_READ, take)
    former_fd = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    former = {number: signal.signal(number, handle) for number in _handled()}
    try:
        yield wake
    finally:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_IGN if is_last else handler)
        signal.set_wakeup_fd(former_fd)
        selector.unregister(wake)
        wake.close()
        woken.close()


def _handled() -> Iterator[int]:
    """Yield the signals to be handled: not what nohup, or the project itself, has seen to."""
    for number in STOP_SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            yield number
    for number in (REPORT_SIGNAL, _UNUSED_SIGNAL):
        if signal.getsignal(number) == signal.SIG_DFL:
            yield number
