"""What a try has printed, its head and its tail: first as bytes, then as text to be stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from django_partisan.payloads.masking import scrubbed

HEAD_BYTES: Final = 64 << 10
"""How much of the beginning is kept."""
TAIL_BYTES: Final = 192 << 10
"""How much of the end is kept; what is between them is left out."""
_LONGEST_SECRET: Final = 4096
_UNITS: Final = ("bytes", "KB", "MB", "GB", "TB")


class Printed:
    """Bytes as they come: the first and the last of them, and how many were left out."""

    __slots__ = ("head", "left_out", "tail")

    def __init__(self) -> None:
        self.head = bytearray()
        self.tail = bytearray()
        self.left_out = 0

    def __bool__(self) -> bool:
        return bool(self.head)

    def add(self, data: bytes | bytearray) -> None:
        """Take more bytes in."""
        room = HEAD_BYTES - len(self.head)
        if room > 0 and not self.tail:
            self.head += data[:room]
            data = data[room:]
        self.tail += data
        if len(self.tail) > 2 * TAIL_BYTES:
            self._cut()

    def join(self, later: Printed) -> None:
        """Take in what was printed after this."""
        self.add(later.head)
        if later.left_out:
            self.left_out += len(self.tail) + later.left_out
            self.tail.clear()
        self.add(later.tail)

    def take_lines(self) -> Printed:
        """Return all that ends with a line, and keep the rest; a progress bar's lines end too."""
        last = self.tail or self.head
        end = max(last.rfind(b"\n"), last.rfind(b"\r")) + 1
        taken = Printed()
        if not end:
            return taken
        taken.head, taken.tail, taken.left_out = self.head, self.tail, self.left_out
        self.head, self.tail, self.left_out = last[end:], bytearray(), 0
        del last[end:]
        return taken

    def _cut(self) -> None:
        surplus = len(self.tail) - TAIL_BYTES
        if surplus > 0:
            del self.tail[:surplus]
            self.left_out += surplus


class PrintedText:
    """Text of what was printed, that every database can hold; it only grows, until it is too long.

    ``head`` and ``tail`` are of at most HEAD_BYTES and TAIL_BYTES in UTF-8; ``left_out`` counts the
    bytes between them. ``secrets`` are masked; None masks everything.
    """

    def __init__(self, secrets: Sequence[str] | None) -> None:
        self._secrets = secrets
        self._head = bytearray()
        self._tail = bytearray()
        self.left_out = 0

    @property
    def head(self) -> str:
        """The beginning; all of it unless it was too long."""
        return self._head.decode()

    @property
    def tail(self) -> str:
        """What follows the head, or the end."""
        return self._tail.decode()

    @property
    def size(self) -> int:
        """How many bytes it takes to keep."""
        return len(self._head) + len(self._tail)

    def add(self, printed: Printed) -> None:
        """Take in what was printed after this."""
        head, tail, left_out = printed.head, printed.tail, printed.left_out
        if not left_out:
            self._append(self._clean(head + tail))
            return
        if self._secrets != []:
            # Half a secret at a cut would not be found.
            head, tail = head[:-_LONGEST_SECRET], tail[_LONGEST_SECRET:]
            left_out += 2 * _LONGEST_SECRET
        self._append(self._clean(head))
        self.left_out += len(self._tail) + left_out
        self._tail.clear()
        self._append_to_tail(self._clean(tail))

    def _append(self, data: bytes) -> None:
        room = HEAD_BYTES - len(self._head)
        if room > 0 and not self._tail and not self.left_out:
            at = _border(data, min(room, len(data)))
            self._head += data[:at]
            data = data[at:]
        self._append_to_tail(data)

    def _append_to_tail(self, data: bytes) -> None:
        self._tail += data
        surplus = len(self._tail) - TAIL_BYTES
        if surplus > 0:
            while surplus < len(self._tail) and _is_inside(self._tail[surplus]):
                surplus += 1
            del self._tail[:surplus]
            self.left_out += surplus

    def _clean(self, data: bytes | bytearray) -> bytes:
        text = data.decode("utf-8", "replace").replace("\0", "\ufffd")
        return (scrubbed(text, self._secrets) if text else "").encode()


class Stored(Protocol):
    """What one try has printed, as it is stored."""

    @property
    def number(self) -> Any:
        """The number of the attempt."""

    @property
    def text(self) -> str:
        """All of it that was kept."""


def text_of_tries(tries: Iterable[Stored]) -> str:
    """Return what tries have printed, one below the other; with their numbers if several."""
    several = list(tries)
    if len(several) == 1:
        return several[0].text
    return "".join(f"{heading(each.number)}{_ended(each.text)}" for each in several)


def heading(number: int) -> str:
    """Return the line above what an attempt has printed, where there are others."""
    return f"--- attempt {number}\n"


def whole_text(head: str, tail: str, left_out: int) -> str:
    """Return head and tail as one text, which says how much is missing between them."""
    return head + (missing(left_out) if left_out else "") + tail


def missing(count: int) -> str:
    """Return the line that stands for so many bytes that were left out."""
    size, unit = float(count), 0
    while size >= 1000 and unit < len(_UNITS) - 1:  # noqa: PLR2004
        size, unit = size / 1000, unit + 1
    shown = f"{size:.1f}" if unit else f"{count}"
    return f"\n… {shown} {_UNITS[unit]} left out …\n"


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def _border(data: bytes, at: int) -> int:
    """Return the place of a border between characters, no further than ``at``."""
    while 0 < at < len(data) and _is_inside(data[at]):
        at -= 1
    return at


def _is_inside(byte: int) -> bool:
    return byte & 0xC0 == 0x80  # noqa: PLR2004 - how UTF-8 marks all but a first byte
