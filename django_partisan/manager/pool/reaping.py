"""Reaping the children of dead children, so that none is left as a zombie."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Collection
from typing import Final

from django_partisan.process_groups import ended_child, reap_worker

_PR_SET_CHILD_SUBREAPER: Final = 36  # prctl(2)


def become_subreaper() -> None:
    """Become the parent of descendants whose parent dies, where the system can do that.

    Workers are children of the launcher: when it dies, they come to the manager instead of to
    process 1, and the manager learns how they end.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap(own_child: int | None, workers: Collection[int]) -> dict[int, int]:
    """Reap every ended child except one's own; return their wait statuses by pid.

    ``workers`` are those whose launcher has ended before them.
    """
    statuses: dict[int, int] = {}
    while (pid := ended_child()) is not None and pid != own_child:
        statuses[pid] = reap_worker(pid) if pid in workers else os.waitpid(pid, 0)[1]
    return statuses
