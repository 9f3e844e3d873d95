"""Whose turn it is: the worker time of a manager, shared out between its queues."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from django_partisan.attempt import ClaimedTask
from django_partisan.manager.runtimes import Runtimes

_CREDIT_SECONDS: Final = 0.5
"""Worker time, for a weight of 1, that a queue keeps which has not used its share."""
_MEAN_WEIGHT: Final = 0.02


class QueueShare:
    """What one queue has had of the workers' time, and what it may expect."""

    def __init__(self, place: int, weight: float, runtimes: Runtimes) -> None:
        self._runtimes = runtimes
        self.place = place
        """Where the queue stands in the order in which they were named."""
        self.weight = weight
        self.used = 0.0
        """Seconds of worker time, divided by the weight: the queue with the least is next."""
        self.own_mean: float | None = None
        """Seconds that a task of it takes in the mean, None while none has ended."""
        self.share = 1.0
        """The part of the workers' time that it has while others have tasks as well."""

    @property
    def mean(self) -> float | None:
        """Seconds that a task of it takes in the mean, or one of any queue while none has ended."""
        return self._runtimes.mean if self.own_mean is None else self.own_mean


class Stride:
    """Shares worker time out by weight, or gives it to the first queue that has tasks.

    Stride scheduling (Waldspurger and Weihl, 1995) on measured seconds: a task is charged to its
    queue by what it is likely to take when it is handed out, and by what it took when it has ended.
    So a queue of slow tasks gets as much time as one of quick tasks of the same weight, and far
    fewer tasks.

    What a queue does not need others have: it comes back with half a second of credit at most, so
    that it cannot keep them out. ``is_strict`` is for the listed order in place of weights.
    """

    def __init__(self, runtimes: Runtimes, *, is_strict: bool = False) -> None:
        self._runtimes = runtimes
        self.is_strict = is_strict
        self._queues: dict[str, QueueShare] = {}
        self._now = 0.0
        self._last_place = 0

    def serve(self, queue_name: str, weight: float) -> QueueShare:
        """Share time out to one more queue, after all others where the order is strict."""
        self._last_place += 1
        share = self._queues[queue_name] = QueueShare(self._last_place, weight, self._runtimes)
        share.used = self._now
        return share

    def forget(self, queue_name: str) -> None:
        """Share no more time out to a queue."""
        self._queues.pop(queue_name, None)

    def first(self, queue_names: Collection[str]) -> str:
        """Return the one of some queues whose tasks wait here that is next."""
        if len(queue_names) == 1:
            (name,) = queue_names
        else:
            name = min(queue_names, key=self.turn_of)
        self._now = max(self._now, self.turn_of(name) if not self.is_strict else 0.0)
        return name

    def turn_of(self, queue_name: str, waiting: int = 0) -> float:
        """Return a number for a queue: the less, the sooner it is its turn.

        ``waiting`` of its tasks are counted as if they had been run.
        """
        share = self._queues.get(queue_name)
        if share is None:
            return self._now
        if self.is_strict:
            return share.place
        share.used = max(share.used, self._now - _CREDIT_SECONDS)
        if not waiting:
            return share.used
        return share.used + waiting * (share.mean or 0.0) / share.weight

    def handed_out(self, task: ClaimedTask) -> None:
        """Charge a task to its queue by what it is likely to take."""
        self._charge(task, self._runtimes.estimate(task.processor_class))

    def returned(self, task: ClaimedTask) -> None:
        """Take a charge back: the task has not started."""
        self._charge(task, -self._runtimes.estimate(task.processor_class))

    def ended(self, task: ClaimedTask, seconds: float) -> None:
        """Charge what a task took beyond what it was likely to take."""
        # The estimate has learnt from this task: over many the differences add up to nothing.
        self._charge(task, seconds - self._runtimes.estimate(task.processor_class))
        share = self._queues.get(task.queue_name)
        if share is not None:
            mean = share.own_mean
            share.own_mean = seconds if mean is None else mean + _MEAN_WEIGHT * (seconds - mean)

    def share_out(self, queue_names: Iterable[str]) -> None:
        """Take note of which queues have tasks now: only they share the time."""
        shares = [share for name in queue_names if (share := self._queues.get(name)) is not None]
        total = sum(share.weight for share in shares)
        for share in shares:
            share.share = share.weight / total

    def _charge(self, task: ClaimedTask, seconds: float) -> None:
        share = self._queues.get(task.queue_name)
        if share is not None:
            share.used += seconds / share.weight
