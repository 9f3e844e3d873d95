"""The signals of launcher and worker: both ignore them, and what a task forks does not."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any, Final

_STOP: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_USER: Final = (signal.SIGUSR1, signal.SIGUSR2)
IGNORED: Final = (*_STOP, *_USER)
"""The signals that launcher and workers do nothing at."""
_OWN: Final = (*IGNORED, signal.SIGURG)
plain_signals: Final[Any] = sys.modules["_signal"]
"""What the functions of the signal module wrap to make enumerations of what it returns, which takes
ten times as long: too much for what is done around each task."""


def ignore_signals() -> None:
    """Do nothing at the signals that end a program: they are the manager's business.

    By a handler, not SIG_IGN: programs that a task starts would inherit the latter. A project may
    have a handler of its own for those that mean nothing by themselves.
    """
    for number in IGNORED:
        if number in _STOP or signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _ignore)


def restore_in_children() -> None:
    """Have each process that a task forks answer signals as any other Python program does.

    Handlers that the project or the task has set itself stay. The signals are blocked around the
    fork: one that came before the child has the default would be lost, and whoever sent it would
    wait for ever.
    """
    handlers = {number: signal.getsignal(number) for number in _OWN}
    forked = _Forked(
        {
            number: handler
            for number, handler in handlers.items()
            if handler is _ignore or number == signal.SIGURG
        }
    )
    os.register_at_fork(
        before=forked.block, after_in_parent=forked.unblock, after_in_child=forked.restore
    )


class _Forked(threading.local):
    """What the thread that forks does around a fork; ``own`` are the handlers to be replaced."""

    def __init__(self, own: Mapping[int, Any]) -> None:
        self._own = own
        self._blocked: set[int] = set()

    def block(self) -> None:
        self._blocked = {*signal.pthread_sigmask(signal.SIG_BLOCK, _OWN)}

    def unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)

    def restore(self) -> None:
        signal.set_wakeup_fd(-1)
        own = [n for n, handler in self._own.items() if signal.getsignal(n) is handler]
        for number in own:
            signal.signal(number, signal.SIG_DFL)
        self.unblock()
        # Last: KeyboardInterrupt would be swallowed here, where no code of the child's is running.
        if signal.SIGINT in own:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _ignore(number: int, frame: Any) -> None:
    """Do nothing: the manager decides when launcher and workers end."""
