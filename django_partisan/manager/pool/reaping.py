"""Reaping the children of dead children, so that none is left as a zombie."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36  # prctl(2)


def become_subreaper() -> None:
    """Become the parent of descendants whose parent dies, where the system can do that.

    Workers are children of the launcher: when it dies, they come to the manager instead of to
    process 1, and the manager learns how they end.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap(own_child: int | None) -> dict[int, int]:
    """Reap every ended child except one's own; return their wait statuses by pid."""
    statuses: dict[int, int] = {}
    while (pid := _next_ended()) is not None and pid != own_child:
        statuses[pid] = os.waitpid(pid, 0)[1]
    return statuses


def _next_ended() -> int | None:
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if ended is None else ended.si_pid
