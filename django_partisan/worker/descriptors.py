"""File descriptors of a worker, kept out of the reach of its tasks."""

from __future__ import annotations

import fcntl
import os
import resource
from typing import Final

_HIGHEST_DESCRIPTOR: Final = 4000
_ROOM: Final = 32


def out_of_reach(fd: int) -> int:
    """Return a duplicate with a high number, where code that closes descriptors rarely gets."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    highest = _HIGHEST_DESCRIPTOR if limit < 0 else min(limit, _HIGHEST_DESCRIPTOR)
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(0, highest - _ROOM))
    except OSError:
        return os.dup(fd)  # The limit may have been lowered below what is in use.


def is_open(fd: int) -> bool:
    """Say whether a descriptor is one."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
