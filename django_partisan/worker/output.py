"""What tasks of a worker print: where it goes, and the borders between one task's and the next."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import socket
import sys
import termios
from array import array
from collections.abc import Callable, Sequence
from fcntl import ioctl
from typing import Any, Final, Protocol

from django_partisan.attempt import ClaimedTask
from django_partisan.logs import running
from django_partisan.payloads.encoding import clean_text
from django_partisan.wire.messages import Line, message_of
from django_partisan.wire.output import (
    BEGUN,
    ENDED,
    FRAMES_WORD,
    LINE,
    MAX_LINE_BYTES,
    MOVED,
    NOBODY,
    Frame,
    SharedCount,
    close_all,
    frame_bytes,
)
from django_partisan.worker.descriptors import is_open, out_of_reach

_STANDARD: Final = (1, 2)
_FIONREAD: Final = termios.FIONREAD
_UNKNOWN: Final = -1
_LOOKS: Final = 3
_IOLBF: Final = 1
MAX_SENT_BYTES: Final = 65_536
"""Of one line that travels by the channel."""
# Python's lock stays with us: to give it away takes longer than most flushes.
_C: Final = ctypes.PyDLL(None)


class Output(Protocol):
    """What a worker says of what its tasks print. Nothing here costs a message or a wake-up."""

    def began(self, task: ClaimedTask) -> None:
        """Take note that a task begins; to be called where ``names_tasks`` is True."""

    def ended(self, task: ClaimedTask) -> None:
        """Lay what was printed to this task; may be called again for what comes after its end."""

    def ended_words(self) -> None:
        """Take note that the worker itself has said something since a task's end."""

    def is_whole(self) -> bool:
        """Say whether a border can still be told."""

    def write_line(self, task: ClaimedTask, line: str) -> None:
        """Put a line into a task's log, and nowhere else."""

    def hand_back(self) -> None:
        """Let whatever is printed from now on go where it would without a manager that reads."""


class ChannelOutput:
    """Of a worker that runs several tasks at once: nobody can tell what each of them prints.

    So that goes to the manager's own streams, and only lines of ``self.logger`` are kept, which
    travel by the channel: ``send`` is that of the channel, and must be safe in every thread. A
    worker that has a :class:`PipeOutput` hands that back first; one without has nothing to keep.
    """

    names_tasks = False

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send

    def began(self, task: ClaimedTask) -> None:
        """Do nothing."""

    def ended(self, task: ClaimedTask) -> None:
        """Do nothing."""

    def ended_words(self) -> None:
        """Do nothing."""

    def is_whole(self) -> bool:
        """Say so: no task can harm it."""
        return True

    def write_line(self, task: ClaimedTask, line: str) -> None:
        """Send the line."""
        self._send(message_of(Line(task.id, task.lease, clean_text(f"{line}\n", MAX_SENT_BYTES))))

    def hand_back(self) -> None:
        """Do nothing: nothing was taken."""


class PipeOutput:
    """Of a worker that runs one task at a time: descriptors 1 and 2 are a pipe to the manager.

    ``descriptors`` are both ends of the pipe, the shared memory and a socket for the reading ends
    of further pipes. The worker keeps a reading end, so that nobody who prints dies of it where the
    manager is gone.
    """

    def __init__(self, descriptors: Sequence[int], *, names_tasks: bool) -> None:
        self._reader, self._writer, shared, self._side = descriptors
        self.names_tasks = names_tasks
        """Whether :meth:`began` is to be called."""
        self._shared = SharedCount(shared)
        self._words = self._shared.words
        self._pipe = 0
        self._place = self._shared.place(0)
        self._unread = array("i", [0])
        self._total = 0
        self._must_move = False
        self._children_faults = 0
        self._flushes: list[Callable[[], Any]] = []
        self._spares: dict[int, int] = {}
        self._of_process: list[int] = []
        self._identity = [_identity(fd) for fd in (self._reader, self._writer)]
        self.descriptors = [*descriptors]
        """What has to stay open for this."""

    def start(self) -> None:
        """Have everything that is printed from now on go into the pipe, line by line."""
        streams = (sys.stdout, sys.stderr)
        self._flushes = [stream.flush for stream in streams if stream is not None]
        self._flush()
        for fd in _STANDARD:
            nowhere = -1 if is_open(fd) else os.open(os.devnull, os.O_WRONLY)
            self._spares[fd] = out_of_reach(fd if nowhere < 0 else nowhere)
            os.dup2(self._writer, fd)
        print_line_by_line()
        os.register_at_fork(after_in_parent=self._note_fork, after_in_child=self._let_go)

    def is_whole(self) -> bool:
        """Say whether the pipe is still what it was: a task may close any descriptor."""
        return self._identity == [_identity(fd) for fd in (self._reader, self._writer)]

    def spares_are(self, spares: Sequence[int]) -> None:
        """Take note of duplicates of the pipe, which follow when it is changed for another."""
        self._of_process = [*spares]

    # ----- borders -----

    def began(self, task: ClaimedTask) -> None:
        """Say that a task begins."""
        self._say(Frame(BEGUN, task.id, task.lease))

    def ended(self, task: ClaimedTask) -> None:
        """Say so if a task has printed anything; a pipe that its children may hold is changed."""
        self._flush()
        words, unread = self._words, self._unread
        seen = words[self._place]
        ioctl(self._reader, _FIONREAD, unread)
        # Who reads in between changes the word.
        if (
            seen & 1
            or words[self._place] != seen
            or (seen >> 1) + unread[0] != self._total
            or self._must_move
        ):
            self._say(Frame(ENDED, task.id, task.lease))
            if self._must_move:
                self._move()

    def ended_words(self) -> None:
        """Say that what came since the last border is no task's."""
        self._flush()
        self._say(Frame(NOBODY))

    def write_line(self, task: ClaimedTask, line: str) -> None:
        """Write the line between what is printed, in as many frames as it takes."""
        data = f"{line}\n".encode(errors="replace")
        for start in range(0, len(data), MAX_LINE_BYTES):
            frame = Frame(LINE, task.id, task.lease, data[start : start + MAX_LINE_BYTES])
            self._write(frame)

    def hand_back(self) -> None:
        """Point descriptors 1 and 2 back at the manager's own streams."""
        for fd, spare in self._spares.items():
            with contextlib.suppress(OSError):
                os.dup2(spare, fd)
        for fd, spare in zip(self._of_process, self._spares.values(), strict=False):
            with contextlib.suppress(OSError):
                os.dup2(spare, fd, inheritable=False)

    # ----- children that outlive their task -----

    def has_had_children(self) -> bool:
        """Say whether there is a child, or somebody has waited for one: it may have the pipe."""
        faults = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
        if faults != self._children_faults:
            self._children_faults = faults
            return True
        return _has_children()

    def must_move(self, _: bool) -> None:
        """Change the pipe for another one at the next border, at once where no task runs."""
        self._must_move = True
        if running.task is None:
            self.ended_words()
            self._move()

    def _move(self) -> None:
        """Go on in a new pipe: what children of a task still print comes by the old one."""
        self._must_move = False
        try:
            reader, writer = os.pipe()
        except OSError:
            return
        try:
            if not self._sent(reader):
                return
            self._write(Frame(MOVED))
            os.dup2(reader, self._reader, inheritable=False)
            for fd in (self._writer, *self._of_process):
                os.dup2(writer, fd, inheritable=False)
            for fd in _STANDARD:
                os.dup2(writer, fd)
        finally:
            close_all(reader, writer)
        self._pipe += 1
        self._place = self._shared.place(self._pipe)
        self._total = 0
        self._identity = [_identity(fd) for fd in (self._reader, self._writer)]

    def _sent(self, reader: int) -> bool:
        try:
            with socket.socket(fileno=os.dup(self._side)) as side:
                socket.send_fds(side, [b"!"], [reader])
        except OSError:
            return False  # The machine lacks what it takes.
        return True

    def _note_fork(self) -> None:
        self._must_move = True

    def _let_go(self) -> None:
        close_all(*self.descriptors)

    # ----- writing -----

    def _flush(self) -> None:
        for flush in self._flushes:
            try:  # noqa: SIM105 - for each task, and that takes half a microsecond more
                flush()
            except (OSError, ValueError):
                pass
        if _stdout is not None:
            _fflush(_stdout)  # Not all streams: that waits for whoever reads one.

    def _say(self, frame: Frame) -> None:
        """Write a border; it counts as nobody's output."""
        self._write(frame)
        self._total = self._written()

    def _write(self, frame: Frame) -> None:
        # At once, as each is short enough: nobody else's bytes stand within.
        with contextlib.suppress(OSError):
            os.write(self._writer, frame_bytes(self._shared.nonce, frame))
        self._words[FRAMES_WORD] += 1

    def _written(self) -> int:
        for _ in range(_LOOKS):
            seen = self._words[self._place]
            ioctl(self._reader, _FIONREAD, self._unread)
            if not seen & 1 and self._words[self._place] == seen:
                return (seen >> 1) + self._unread[0]
        return _UNKNOWN


def print_line_by_line() -> None:
    """Let no line wait in a buffer, which dies with the process; C's stderr has none."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    if _stdout is not None:
        _C.setvbuf(_stdout, None, _IOLBF, 0)


def attend(output: Output | None) -> None:
    """Have lines of ``self.logger`` put into the log of their task by this; None: they are not."""
    running.write_line = None if output is None else output.write_line


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _c_stdout() -> int | None:
    for name in ("stdout", "__stdoutp"):
        with contextlib.suppress(ValueError):
            return ctypes.c_void_p.in_dll(_C, name).value
    return None


def _has_children() -> bool:
    if not hasattr(os, "waitid"):
        return False
    try:
        # Waits for nobody and takes nobody's status.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


_stdout: Final = _c_stdout()
_fflush: Final = _C.fflush
_fflush.argtypes = [ctypes.c_void_p]
_fflush.restype = ctypes.c_int
_C.setvbuf.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t]
