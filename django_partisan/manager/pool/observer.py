"""What a pool of workers tells, and whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from django_partisan.attempt import ClaimedTask, Interim, Outcome
from django_partisan.manager.pool.worker_handle import WorkerHandle


class PoolObserver(Protocol):
    """What the pool tells of its workers: outcomes, deaths, starts that have to be proven."""

    def told(self, interims: Iterable[Interim]) -> None:
        """Take note of what tasks tell of themselves; none of them has ended before that."""

    def ended(self, worker: WorkerHandle, task: ClaimedTask, outcome: Outcome) -> None:
        """Take note of a worker's report."""

    def died(self, worker: WorkerHandle, unstarted: list[ClaimedTask], reason: str) -> None:
        """Take note of a worker's death; its running task is ``worker.running``."""

    def prove_start(self, task: ClaimedTask) -> bool:
        """Prove that a task which was rescued before is about to start.

        False when that cannot be: then the observer has dealt with the task.
        """
