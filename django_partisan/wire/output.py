"""What a worker says within its output: frames between the bytes that its tasks print.

What a worker's tasks print comes by a pipe, and only the worker knows where one task's output ends
and the next one's begins. It says so in the pipe itself, in frames that begin with a random nonce:
so no order between two channels has to be trusted, and no task can forge a border by accident.

====  ======================================================================================
Kind  What it says
====  ======================================================================================
e     The bytes before it, back to the frame of this kind or ``n`` before, are of this task.
n     They are of no task: the worker itself has said something between two.
b     A task begins; said only where somebody wants to see whose lines are whose.
l     A line for the task's log alone, which the project's logging has shown elsewhere.
m     The worker goes on in another pipe, whose reading end it has sent before.
====  ======================================================================================

How much was read stands in memory that both share, so that a worker can tell whether a task has
printed anything without asking anybody. Each pipe has a word of its own there. Another one counts
the frames that were written, so that a manager need not look at a pipe in which there are none.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import struct
import tempfile
from collections.abc import Iterator
from typing import Final, NamedTuple

ENDED: Final = b"e"
NOBODY: Final = b"n"
BEGUN: Final = b"b"
LINE: Final = b"l"
MOVED: Final = b"m"
_NONCE_SIZE: Final = 16
_HEADER: Final = struct.Struct("!cqqH")
_SMALLEST: Final = _NONCE_SIZE + _HEADER.size
MAX_LINE_BYTES: Final = 400
"""Of one frame. POSIX promises that 512 bytes are written whole, whoever else writes."""
_PAGE: Final = mmap.PAGESIZE
_WORDS: Final = _PAGE // 8
FRAMES_WORD: Final = _NONCE_SIZE // 8
_FIRST_WORD: Final = FRAMES_WORD + 1
_PIPES: Final = _WORDS - _FIRST_WORD


class Frame(NamedTuple):
    """What is said between bytes; the task and its lease are 0 where no task is meant."""

    kind: bytes
    task_id: int = 0
    lease: int = 0
    text: bytes = b""


class SharedCount:
    """How many bytes of each pipe were read, and the nonce: memory that two processes share.

    A word holds twice the count, and one more while somebody reads.
    """

    def __init__(self, fd: int) -> None:
        """Map the memory that :func:`make_shared` has made; the descriptor may be closed then."""
        self._memory = mmap.mmap(fd, _PAGE)
        self.nonce = self._memory[:_NONCE_SIZE]
        """What every frame begins with."""
        self.words = memoryview(self._memory).cast("Q")
        """The words; each is written and read at once."""

    def place(self, pipe: int) -> int:
        """Return which word is of a pipe, numbered from 0 on."""
        return _FIRST_WORD + pipe % _PIPES

    def forget(self, pipe: int) -> None:
        """Make room for a pipe far ahead, whose word has been another one's."""
        self.words[self.place(pipe + _PIPES // 2)] = 0

    def close(self) -> None:
        """Give the memory back."""
        self.words.release()
        self._memory.close()


def make_shared() -> int:
    """Return the descriptor of new memory for a :class:`SharedCount`, with a nonce of its own."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("partisan-output")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.truncate(fd, _PAGE)
        os.pwrite(fd, secrets.token_bytes(_NONCE_SIZE), 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def frame_bytes(nonce: bytes, frame: Frame) -> bytes:
    """Return a frame as it is written; its text may have up to MAX_LINE_BYTES."""
    kind, task_id, lease, text = frame
    return nonce + _HEADER.pack(kind, task_id, lease, len(text)) + text


class Splitter:
    """Takes what arrives apart into bytes and frames, wherever it was cut."""

    def __init__(self, nonce: bytes) -> None:
        self._nonce = nonce
        self._rest = b""

    def split(self, data: bytes) -> Iterator[bytes | Frame]:
        """Yield what is complete; what may be the beginning of a frame waits for more."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        start = 0
        while (at := data.find(self._nonce, start)) >= 0:
            if at > start:
                yield data[start:at]
            start = at
            if len(data) - at < _SMALLEST:
                break
            kind, task_id, lease, size = _HEADER.unpack_from(data, at + _NONCE_SIZE)
            end = at + _SMALLEST + size
            if len(data) < end:
                break
            start = end
            yield Frame(kind, task_id, lease, data[end - size : end])
        else:
            at = _beginning_of(self._nonce, data, start)
            if at > start:
                yield data[start:at]
            start = at
        self._rest = data[start:]

    def left(self) -> bytes:
        """Return what has waited for more in vain."""
        rest, self._rest = self._rest, b""
        return rest


def _beginning_of(nonce: bytes, data: bytes, start: int) -> int:
    """Return where the end of some bytes may be the beginning of a nonce, their length if not."""
    size = len(data)
    at = data.find(nonce[:1], max(start, size - _NONCE_SIZE + 1))
    while at >= 0 and not nonce.startswith(data[at:]):
        at = data.find(nonce[:1], at + 1)
    return size if at < 0 else at


def close_all(*descriptors: int) -> None:
    """Close descriptors, whichever of them are open."""
    for fd in descriptors:
        with contextlib.suppress(OSError):
            os.close(fd)
