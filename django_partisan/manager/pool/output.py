"""What the tasks of a worker print, as it arrives: laid to its try, and forwarded as it is."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import termios
from array import array
from collections.abc import Callable
from fcntl import ioctl
from typing import Final

from django_partisan.attempt import ClaimedTask
from django_partisan.manager.pool.forwarding import Forwarder
from django_partisan.payloads.printed import Printed
from django_partisan.wire.output import (
    BEGUN,
    ENDED,
    FRAMES_WORD,
    LINE,
    MOVED,
    NOBODY,
    Frame,
    SharedCount,
    Splitter,
    close_all,
    make_shared,
)

_READ_BYTES: Final = 256 << 10
_TURN_READS: Final = 16
"""How often one worker's pipe is read in a turn: 1 MiB at most, of a pipe of the usual size."""
_buffer: Final = bytearray(_READ_BYTES)
_view: Final = memoryview(_buffer)
_unread: Final = array("i", [0])
Try = tuple[int, int]
"""A task's id and the lease of its claim."""


class OutputPipes:
    """The pipes of a manager's workers, and the stream that everything goes on to."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.selector = selector
        self.forwarder = Forwarder(selector)
        self.leftovers: set[Leftover] = set()
        """Pipes that no worker writes to any more, but others may."""

    def make(self) -> WorkerOutput:
        """Make the pipe of one worker; raises an OSError when the machine lacks what it takes."""
        return WorkerOutput(self)

    def listen(self, reader: int, ready: Callable[[], None]) -> None:
        """Call somebody when there is something to read; done already, that changes nothing."""
        if reader not in self.selector.get_map():
            self.selector.register(reader, selectors.EVENT_READ, ready)

    def ignore(self, reader: int) -> None:
        """Do so no more."""
        if reader in self.selector.get_map():
            self.selector.unregister(reader)

    def close(self) -> None:
        """Forward what is there, and close everything; all workers have ended."""
        for leftover in [*self.leftovers]:
            leftover.close()
        self.forwarder.close()


class WorkerOutput:
    """The manager's end of what one worker prints.

    Bytes are collected until a border says whose they are. A border stands before the report of its
    task's end: so whoever has heard of the end, and then reads what is there, has all of it.
    """

    def __init__(self, pipes: OutputPipes) -> None:
        self._pipes = pipes
        self._forwarder = pipes.forwarder
        self.done: dict[Try, Printed] = {}
        """What tries have printed, as far as that is certain, until :meth:`take`."""
        self.on_loss: Callable[[], None] = lambda: None
        """Called when nothing more can be read: the machine lacked a descriptor for that."""
        self._current = Printed()
        self._named = b""
        self._is_line_start = True
        self._pipe = self._count = self._frames = 0
        with contextlib.ExitStack() as unless_complete:
            self._side, theirs = socket.socketpair()
            unless_complete.callback(self._side.close)
            self._theirs = [theirs.detach()]
            unless_complete.callback(self.close_theirs)
            reader, writer = os.pipe()
            self._theirs += [writer]
            unless_complete.callback(os.close, reader)
            shared = make_shared()
            self._theirs += [shared]
            self._shared = SharedCount(shared)
            self.descriptors = [reader, writer, shared, self._theirs[0]]
            """What the worker process is given."""
            unless_complete.pop_all()
        self._side.setblocking(False)
        self._splitter = Splitter(self._shared.nonce)
        self._reader = reader
        self._listen(reader)

    # ----- reading -----

    def catch_up(self, *, is_last: bool = False) -> None:
        """Read every border that is there by now, in whichever pipe; ``is_last``: all there is."""
        if self._reader < 0:
            return  # It has been closed in the same round of events.
        frames = self._shared.words[FRAMES_WORD]
        if frames == self._frames and not is_last:
            return  # As after most tasks, which print nothing.
        self._frames = frames
        reader = None
        while reader != self._reader >= 0:
            reader = self._reader
            ioctl(reader, termios.FIONREAD, _unread)
            if _unread[0]:
                self._read()

    def must_wait(self, go_on: Callable[[], None]) -> bool:
        """Say whether what is there cannot be shown yet; then ``go_on`` is called once it can."""
        if not self._forwarder.is_full or self._reader < 0:
            return False
        ioctl(self._reader, termios.FIONREAD, _unread)
        if not _unread[0]:
            return False
        self._forwarder.when_there_is_room(go_on)
        return True

    def take(self, task: ClaimedTask) -> Printed | None:
        """Return what a try has printed, None if nothing; what it prints after is not known."""
        return self.done.pop(task[:2], None) if self.done else None

    def add_line(self, task_id: int, lease: int, line: str) -> None:
        """Take in a line of a task that did not come by the pipe."""
        self._printed_by((task_id, lease)).add(line.encode())

    def rest_is_of(self, task: ClaimedTask) -> None:
        """Lay what came after the last border to the task that ran; its worker is dead."""
        self._text(self._splitter.left())
        self._lay(task[:2])

    def take_lines(self, task: ClaimedTask, *, is_first: bool) -> Printed:
        """Return all lines that a task in hand has printed so far.

        ``is_first``: it is certain to be the one that printed what has come since the last border.
        """
        lines = self.done.pop(task[:2], None) or Printed()
        if is_first:
            lines.join(self._current.take_lines())
        return lines

    def _ready(self) -> None:
        reader = self._reader
        for _ in range(_TURN_READS):
            if self._forwarder.is_full:
                self._pause()
                return
            # It may have been given up in the same round of events.
            if self._reader != reader or reader < 0 or self._read() <= 0:
                return

    def _read(self) -> int:
        """Read once; return how much that was, 0 at the end of the pipe, -1 if there is nothing."""
        words, place, count = self._shared.words, self._shared.place(self._pipe), self._count
        words[place] = count << 1 | 1
        try:
            size = os.readv(self._reader, [_view])
        except BlockingIOError:
            return -1
        else:
            self._count = count = count + size
        finally:
            words[place] = count << 1
        if not size:
            self._pipes.ignore(self._reader)
        self._take(bytes(_view[:size]))
        return size

    def _take(self, data: bytes) -> None:
        parts = self._splitter.split(data)
        for part in parts:
            if isinstance(part, bytes):
                self._text(part)
            elif part.kind != MOVED:
                self._framed(part)
            else:
                # What follows is nobody's: children of a task that has ended have printed it.
                rest = b"".join(each for each in parts if isinstance(each, bytes))
                self._move(rest + self._splitter.left())

    def _framed(self, frame: Frame) -> None:
        match frame.kind:
            case kind if kind == ENDED:
                self._lay((frame.task_id, frame.lease))
                self._named = b""
            case kind if kind == NOBODY:
                self._current = Printed()
            case kind if kind == LINE:
                self._current.add(frame.text)
            case kind if kind == BEGUN:
                self._named = b"[task %d] " % frame.task_id

    def _lay(self, of: Try) -> None:
        if self._current:
            printed, self._current = self._current, Printed()
            if of in self.done:
                self.done[of].join(printed)
            else:
                self.done[of] = printed

    def _printed_by(self, of: Try) -> Printed:
        return self.done.setdefault(of, Printed())

    def _text(self, data: bytes) -> None:
        if data:
            self._current.add(data)
            self._forwarder.put(self._with_names(data) if self._named else data)
            self._is_line_start = data.endswith(b"\n")

    def _with_names(self, data: bytes) -> bytes:
        """Return lines that begin with the task's name."""
        ends = data.endswith(b"\n")
        body = data[:-1] if ends else data
        named = body.replace(b"\n", b"\n" + self._named) + (b"\n" if ends else b"")
        return self._named + named if self._is_line_start else named

    # ----- pipes -----

    def _listen(self, reader: int) -> None:
        os.set_blocking(reader, False)
        self._count = 0
        self._reader = reader
        self._pipes.listen(reader, self._ready)

    def _pause(self) -> None:
        """Read no more until what was read is written: whoever prints waits as long."""
        reader = self._reader
        self._pipes.ignore(reader)

        def go_on() -> None:
            if reader == self._reader:
                self._pipes.listen(reader, self._ready)

        self._forwarder.when_there_is_room(go_on)

    def _move(self, rest: bytes) -> None:
        """Go on in the pipe that the worker has made; forward what still comes by the old one."""
        if rest:
            self._forwarder.put(rest)
        self._part_with_pipe()
        try:
            _, fds, _, _ = socket.recv_fds(self._side, 1, 1)
        except OSError:
            fds = []
        if not fds:
            self.on_loss()
            return
        os.set_inheritable(fds[0], False)
        self._pipe += 1
        self._shared.forget(self._pipe)
        self._listen(fds[0])

    def _part_with_pipe(self) -> None:
        if self._reader >= 0:
            reader, self._reader = self._reader, -1
            self._pipes.ignore(reader)
            Leftover(reader, self._pipes)

    def close_theirs(self) -> None:
        """Close what only the worker's process needs, once it has it."""
        close_all(*self._theirs)
        self._theirs = []

    def close(self) -> None:
        """Give everything back; what children of a dead worker still print is forwarded."""
        self.close_theirs()
        self._side.close()
        self._part_with_pipe()
        self._shared.close()


class Leftover:
    """A pipe that no worker writes to: forwarded to its end, for those who hold it would die."""

    def __init__(self, reader: int, pipes: OutputPipes) -> None:
        self._reader = reader
        self._pipes = pipes
        pipes.leftovers.add(self)
        self._listen()

    def close(self) -> None:
        """Forward what is there, and close it."""
        self._read()
        if self._reader >= 0:
            self._end()

    def _listen(self) -> None:
        self._pipes.listen(self._reader, self._ready)

    def _ready(self) -> None:
        if self._reader < 0:
            return
        if self._pipes.forwarder.is_full:
            self._pipes.ignore(self._reader)
            self._pipes.forwarder.when_there_is_room(self._listen)
        elif not self._read():
            self._end()

    def _read(self) -> bool:
        """Read once; say whether there may be more one day."""
        try:
            size = os.readv(self._reader, [_view])
        except BlockingIOError:
            return True
        if size:
            self._pipes.forwarder.put(bytes(_view[:size]))
        return size > 0

    def _end(self) -> None:
        self._pipes.ignore(self._reader)
        self._pipes.leftovers.discard(self)
        os.close(self._reader)
        self._reader = -1
