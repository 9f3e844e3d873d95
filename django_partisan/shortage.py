"""Lack of what the machine gives: processes, threads, descriptors, memory, room."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

_SCARCE: Final = frozenset(
    {
        errno.EAGAIN,
        errno.ENOMEM,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.ENOBUFS,
        errno.ETOOMANYREFS,
    }
)
# What the loader of shared libraries says of these has no number any more.
_TEXTS: Final = tuple(map(os.strerror, (errno.EMFILE, errno.ENFILE, errno.ENOMEM)))


class Shortage(OSError):  # noqa: N818 - it is called that
    """Something could not be begun that another process has asked for, by this errno."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(
            number, f"{what}: {os.strerror(number) if number else 'lack of resources'}"
        )


def is_shortage(error: BaseException) -> bool:
    """Say whether an error, or what it comes from, means that the machine lacks something now.

    Then trying again later helps, and nobody is to blame.
    """
    return any(map(_is_scarce, _chain(error)))


def errno_of(error: BaseException) -> int:
    """Return the number of what is lacking; ENOMEM where nothing says."""
    numbers = (e.errno for e in _chain(error) if isinstance(e, OSError) and e.errno in _SCARCE)
    return next(numbers, errno.EAGAIN if _is_thread(error) else errno.ENOMEM) or errno.ENOMEM


def _is_scarce(error: BaseException) -> bool:
    match error:
        case MemoryError():
            return True
        case OSError():
            return error.errno in _SCARCE
        case ImportError():
            return any(text in str(error) for text in _TEXTS)
    return _is_thread(error)


def _is_thread(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and "can't start new thread" in str(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
