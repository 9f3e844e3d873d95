"""The moments by which tasks must have started, of those that expire."""

from __future__ import annotations

import heapq
from collections.abc import Set as AbstractSet
from typing import Final

from django_partisan.attempt import ClaimedTask
from django_partisan.config.const import NEVER

_SPARE: Final = 1_000
"""So many more than twice what is held are remembered; beyond that, the others are forgotten."""


class Deadlines:
    """Remembers which task must have started by when; what has ended is forgotten some time."""

    def __init__(self) -> None:
        self._moments: list[tuple[float, int, int]] = []

    def __len__(self) -> int:
        return len(self._moments)

    def add(self, task: ClaimedTask) -> None:
        """Remember a task that expires; twice is once."""
        assert task.starts_by is not None
        heapq.heappush(self._moments, (task.starts_by, task.id, task.lease))

    def next(self) -> float:
        """Return the least moment of the monotonic clock, NEVER without one."""
        return self._moments[0][0] if self._moments else NEVER

    def passed(self, now: float) -> dict[int, int]:
        """Return the tasks that must not start any more, their leases by their ids, once."""
        leases = {}
        while self._moments and self._moments[0][0] <= now:
            _, task_id, lease = heapq.heappop(self._moments)
            leases[task_id] = lease
        return leases

    def is_too_long(self, held: int) -> bool:
        """Say whether :meth:`keep` is worth its while when so many tasks are held."""
        return len(self._moments) > 2 * held + _SPARE

    def keep(self, ids: AbstractSet[int]) -> None:
        """Forget all tasks but these."""
        self._moments = sorted({each for each in self._moments if each[1] in ids})
