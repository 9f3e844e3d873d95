"""Messages of plain values between manager and worker, over one stream socket each."""

from __future__ import annotations

import marshal
import socket
import struct
import threading
from collections import deque
from typing import Any, Final

_LENGTH: Final = struct.Struct("!I")
_READ_SIZE: Final = 1 << 18
MAX_REPORT_BYTES: Final = 1 << 30
"""A worker's reports are much shorter; what claims to be longer is none."""


class GarbledError(Exception):
    """What has arrived is no message: somebody else has written into the channel."""


class BlockingChannel:
    """The worker's end: waits for a message, and waits until one is sent."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        sock.setblocking(True)
        self._unpacker = _Unpacker()
        self._sending = threading.Lock()

    def receive(self) -> Any:
        """Return the next message; raise EOFError once the other end is gone."""
        while not self._unpacker.messages:
            data = self._socket.recv(_READ_SIZE)
            if not data:
                raise EOFError
            self._unpacker.feed(data)
        return self._unpacker.messages.popleft()

    def take_received(self) -> deque[Any]:
        """Return the messages that have come along with the last one; does not wait."""
        return self._unpacker.take()

    def receive_ready(self) -> deque[Any]:
        """Return the messages that one read brings, which does not wait where there is any."""
        data = self._socket.recv(_READ_SIZE)
        if not data:
            raise EOFError
        self._unpacker.feed(data)
        return self._unpacker.take()

    def send(self, message: Any) -> None:
        """Send a message as a whole, from any thread; raise OSError once the other end is gone."""
        data = _packed(message)
        with self._sending:
            self._socket.sendall(data)


class Channel:
    """The manager's end: never waits. What cannot be sent yet is kept and sent by :meth:`flush`."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        sock.setblocking(False)
        self._unpacker = _Unpacker(MAX_REPORT_BYTES)
        self._unsent = bytearray()

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    @property
    def has_unsent(self) -> bool:
        """Whether something waits to be sent until the other end reads."""
        return bool(self._unsent)

    def send(self, message: Any) -> None:
        """Send a message, or as much of it as goes without waiting."""
        self._unsent += _packed(message)
        self.flush()

    def flush(self) -> None:
        """Send what is left; a gone other end is noticed by receiving, not here."""
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()

    def receive_all(self) -> tuple[deque[Any], bool]:
        """Return the messages that have arrived, and whether the other end is gone.

        One that talks nonsense counts as gone.
        """
        is_gone = False
        try:
            while data := self._socket.recv(_READ_SIZE):
                self._unpacker.feed(data)
                if len(data) < _READ_SIZE:
                    break
            else:
                is_gone = True
        except BlockingIOError:
            pass
        except (OSError, GarbledError):
            is_gone = True
        return self._unpacker.take(), is_gone

    def close(self) -> None:
        """Close the socket; the other end then reads its end."""
        self._socket.close()


class _Unpacker:
    def __init__(self, longest: int = 1 << 32) -> None:
        self.messages: deque[Any] = deque()
        self._longest = longest
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        self._data += data
        start, size = 0, len(self._data)
        while size - start >= _LENGTH.size:
            length = _LENGTH.unpack_from(self._data, start)[0]
            if length > self._longest:
                raise GarbledError
            end = start + _LENGTH.size + length
            if end > size:
                break
            self.messages.append(_unpacked(self._data[start + _LENGTH.size : end]))
            start = end
        del self._data[:start]

    def take(self) -> deque[Any]:
        messages, self.messages = self.messages, deque()
        return messages


def _unpacked(data: bytes | bytearray) -> Any:
    try:
        return marshal.loads(data)
    except (ValueError, TypeError, EOFError) as error:
        raise GarbledError from error


def _packed(message: Any) -> bytes:
    # marshal: plain values only, so neither side can be made to build or run anything.
    data = marshal.dumps(message)
    return _LENGTH.pack(len(data)) + data
