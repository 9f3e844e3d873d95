"""The state of a worker's process, restored between tasks."""

from __future__ import annotations

import contextlib
import gc
import locale
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import IO, Any, Final, NoReturn

from django.utils import timezone, translation

from django_partisan.worker.descriptors import is_open, out_of_reach
from django_partisan.worker.signals import plain_signals

Part = tuple[Callable[[], Any], Any, Callable[[Any], None]]
"""How to look at something, what was seen at the start, and how to put it back."""
_SIGNALS: Final = range(1, 32)
_STREAMS: Final = ("stdin", "stdout", "stderr")
_PROBATION: Final = 20
"""After so many tasks that have changed nothing a processor is trusted, for a millisecond."""
_TRUST_SECONDS: Final = 0.001
_NEVER: Final = -(1 << 62)
_MAX_PROCESSORS: Final = 1000


class ProcessState:
    """The state of a worker's process between tasks.

    To look at everything takes several microseconds, as long as a small task. So a processor whose
    tasks have never changed anything is looked at once a millisecond, after each task that takes
    longer, and before a task of another processor; any other one after each task.

    What cannot be put back for certain is named by ``damage``: then the worker should take no
    further task.
    """

    def __init__(self, descriptors: Iterable[int], more: Iterable[Part] = ()) -> None:
        """Take note of everything; ``descriptors`` are those that the worker cannot do without.

        ``more`` are other things to look at, as _PARTS makes them.
        """
        self.damage = ""
        self._is_child = False
        self._look_at = 0.0
        self._unseen: str | None = None
        self._clean_looks: dict[str, int] = {}
        os.register_at_fork(after_in_child=self._note_fork)
        self._streams = {name: getattr(sys, name) for name in _STREAMS}
        self._spares = {fd: out_of_reach(fd) for fd in range(3) if is_open(fd)}
        self._canary = _canary()
        self._descriptors = select.poll()
        for fd in (*self._spares, self._canary, *descriptors):
            self._descriptors.register(fd, 0)
        self._healthy = self._descriptors.poll(0)
        self._context = copy_context()
        self._parts = [*(part() for part in _PARTS), *more]

    @property
    def spares_of_output(self) -> list[int]:
        """The duplicates of descriptors 1 and 2 that they are mended with."""
        return [spare for fd, spare in self._spares.items() if fd]

    def restore(self, processor: str) -> None:
        """Put back what a task has changed; end the process when it is a child of the task's."""
        if self._is_child:
            _end_child(sys.exception())
        if self._clean_looks.get(processor, 0) >= _PROBATION and time.monotonic() < self._look_at:
            self._unseen = processor
        else:
            self._look_after(processor)

    def end_if_child(self) -> None:
        """End the process when it is one that a task has forked."""
        if self._is_child:
            _end_child(sys.exception())

    def prepare(self, processor: str) -> None:
        """Look now if the last look was left out and the next task is of another processor."""
        if self._unseen not in {None, processor}:
            self._look_after(self._unseen or "")

    def _look_after(self, processor: str) -> None:
        self._unseen = None
        if self._restore_even_if_interrupted():
            self._distrust(processor)
        elif len(self._clean_looks) < _MAX_PROCESSORS:
            self._clean_looks[processor] = self._clean_looks.get(processor, 0) + 1
        self._look_at = time.monotonic() + _TRUST_SECONDS

    def _distrust(self, processor: str) -> None:
        """Look at this processor always, and at all others again: it may have been one of them."""
        self._clean_looks = {name: min(looks, 0) for name, looks in self._clean_looks.items()}
        self._clean_looks[processor] = _NEVER

    def _restore_even_if_interrupted(self) -> bool:
        try:
            return self._restore_all()
        except BaseException:
            # A signal handler of the task's came in between. Its error is the task's own.
            self._restore_all()
            raise

    def _restore_all(self) -> bool:
        """Put everything back, and say whether there was anything to put back."""
        has_changed = False
        for look, known, put_back in self._parts:
            if look() != known:
                self._repair(put_back, known)
                has_changed = True
        if copy_context() != self._context:
            self._forget_context()
        if self._descriptors.poll(0) != self._healthy:
            has_changed = self._mend_descriptors() or has_changed
        for name, stream in self._streams.items():
            if getattr(sys, name) is not stream or (stream is not None and stream.closed):
                self._mend_stream(name, stream)
                has_changed = True
        return has_changed

    def _note_fork(self) -> None:
        self._is_child = True

    def _repair(self, put_back: Callable[[Any], None], known: Any) -> None:
        try:
            put_back(known)
        except (OSError, ValueError, TypeError) as error:
            self._note(f"it left behind what cannot be put back ({error})")

    def _note(self, damage: str) -> None:
        self.damage = self.damage or damage

    def _forget_context(self) -> None:
        """Forget the language and time zone; other context variables are their owners' caches."""
        translation.deactivate()
        timezone.deactivate()
        self._context = copy_context()

    def _mend_descriptors(self) -> bool:
        events = dict(self._descriptors.poll(0))
        is_alive = events.get(self._canary) == select.POLLHUP
        if is_alive and not any(event & select.POLLNVAL for event in events.values()):
            return False  # Nobody reads the output any more, perhaps.
        self._note("it closed file descriptors that were not its own")
        for fd, spare in self._spares.items():
            with contextlib.suppress(OSError):
                os.dup2(spare, fd)
        return True

    def _mend_stream(self, name: str, stream: Any) -> None:
        if stream is not None and stream.closed:
            # Whoever holds the closed one, a log handler perhaps, cannot be given another.
            self._note(f"it closed sys.{name}")
            stream = self._streams[name] = _new_stream(name)
        setattr(sys, name, stream)


def _canary() -> int:
    """Return a descriptor that dies with others: it has the lowest number that is free.

    It is a pipe that nobody can write into any more, so it also differs from whatever may be
    opened under its number later.
    """
    reader, writer = os.pipe()
    os.close(writer)
    return reader


def _new_stream(name: str) -> IO[Any]:
    number = _STREAMS.index(name)
    mode = "r" if number == 0 else "w"
    return open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)


def _end_child(error: BaseException | None) -> NoReturn:
    """End a process that a task has forked as if it had been a program of its own."""
    code = 0
    try:
        if isinstance(error, SystemExit):
            code = _exit_code(error.code)
        elif error is not None:
            code = 1
            traceback.print_exception(error)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)


def _exit_code(code: object) -> int:
    if code is None or isinstance(code, int):
        return int(code or 0) & 0xFF
    print(code, file=sys.stderr)  # noqa: T201 - as the interpreter does
    return 1


# ----- parts: how to look, what was seen at the start, how to put it back -----


def _directory() -> Part:
    def look() -> str | None:
        try:
            return os.getcwd()  # noqa: PTH109 - a Path costs more than the call
        except OSError:
            return None

    def put_back(known: str | None) -> None:
        # A directory that was gone from the start cannot be gone back to.
        if known is not None:
            os.chdir(known)

    return look, look(), put_back


def _umask() -> Part:
    known = os.umask(0o077)
    os.umask(known)
    # Looking is putting back.
    return lambda: os.umask(known), known, lambda _: None


def _handlers() -> Part:
    def look() -> tuple[Any, ...]:
        return tuple(map(plain_signals.getsignal, _SIGNALS))

    def put_back(known: tuple[Any, ...]) -> None:
        for number, now, before in zip(_SIGNALS, look(), known, strict=True):
            if now is not before and now != before:
                signal.signal(number, before)

    return look, look(), put_back


def _blocked_signals() -> Part:
    def look() -> set[int]:
        blocked: set[int] = plain_signals.pthread_sigmask(signal.SIG_BLOCK, ())
        return blocked

    return look, look(), lambda known: plain_signals.pthread_sigmask(signal.SIG_SETMASK, known)


def _alarm() -> Part:
    # Looking is putting back: an alarm would end the next task, by default with its worker.
    none = (0.0, 0.0)
    return lambda: signal.setitimer(signal.ITIMER_REAL, 0), none, lambda _: None


def _wakeup_descriptor() -> Part:
    return lambda: signal.set_wakeup_fd(-1), -1, lambda _: None


def _environment() -> Part:
    # Comparing os.environ itself decodes every value of it.
    data: dict[Any, Any] = vars(os.environ).get("_data", os.environ)
    known = dict(data)

    def put_back(known: dict[Any, Any]) -> None:
        for name in [name for name in data if name not in known]:
            os.unsetenv(name)
        for name, value in known.items():
            os.putenv(name, value)
        data.clear()
        data.update(known)
        time.tzset()

    return lambda: data, known, put_back


def _locale() -> Part:
    def look() -> str:
        return locale.setlocale(locale.LC_ALL)

    def put_back(known: str) -> None:
        locale.setlocale(locale.LC_ALL, known)

    return look, look(), put_back


def _address_space() -> Part:
    def look() -> tuple[int, int]:
        return resource.getrlimit(resource.RLIMIT_AS)

    return look, look(), lambda known: resource.setrlimit(resource.RLIMIT_AS, known)


def _recursion_limit() -> Part:
    return sys.getrecursionlimit, sys.getrecursionlimit(), sys.setrecursionlimit


def _collector() -> Part:
    known = gc.isenabled()
    return gc.isenabled, known, lambda _: gc.enable() if known else gc.disable()


# The recursion limit comes first: the others could stumble over one that is too low. The alarm
# comes before the handlers: without the task's own handler it would end the process.
_PARTS: Final[tuple[Callable[[], Part], ...]] = (
    _recursion_limit,
    _directory,
    _umask,
    _alarm,
    _handlers,
    _blocked_signals,
    _wakeup_descriptor,
    _environment,
    _locale,
    _address_space,
    _collector,
)
__all__ = ["ProcessState", "is_open", "out_of_reach"]
