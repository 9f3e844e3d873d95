"""What manager and launcher say to each other: fixed structs, with descriptors beside them."""

from __future__ import annotations

import struct
from typing import Final

READY: Final = 1
"""The kind of a report: the project has been loaded."""
BOOT_FAILED: Final = 2
"""The kind of a report: it could not be; the traceback follows."""
STARTED: Final = 3
"""The kind of a report: a worker was forked."""
EXITED: Final = 4
"""The kind of a report: a worker has ended."""
REFUSED: Final = 5
"""The kind of a report: the machine lacks what the worker of that number needs, by this errno.

Of number 0, which no worker has: what the launcher itself needs; it ends."""
DESCRIPTORS: Final = 7
"""What a worker is connected to the manager by, at most: its channel, its tokens and its requests,
and where its output is captured both ends of a pipe, shared memory and a socket."""
REQUEST: Final = struct.Struct("!IB")
"""A request to fork a worker: its number, and how many descriptors travel with it."""
REPORT: Final = struct.Struct("!BIii")
"""A report: kind, number, pid, and the wait status, the errno, or the length of the text."""
