"""When ended tasks are pruned: often enough, and never for much of the manager's time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from django_partisan.config.const import NEVER
from django_partisan.lifecycle.prune import Pruner, delete_parents, delete_throttled
from django_partisan.lifecycle.related import others_point_at_tasks
from django_partisan.manager.claiming.queues import Queues
from django_partisan.manager.standing import Standing
from django_partisan.settings import QueueSettings

logger = logging.getLogger(__name__)
_INTERVAL_SECONDS: Final = 60.0
_TIMES_AS_LONG: Final = 5.0
"""While batches come back full: from one to the next, compared with what it takes."""
_AGAIN_SECONDS: Final = 3600.0
"""How long tasks that something points at are passed by before they are tried again."""


class PruningOfQueues:
    """Has a :class:`Pruning` for each queue that the manager serves, and their turns in order.

    All of them together take no more of its time than one may.
    """

    def __init__(
        self, queues: Queues, settings_of: Callable[[str], QueueSettings], standing: Standing
    ) -> None:
        self._queues = queues
        self._settings_of = settings_of
        self._standing = standing
        self._prunings: dict[str, Pruning] = {}
        self._names: list[str] = []
        self._next_at = 0.0

    def next_deadline(self) -> float:
        """Return when the next batch of any queue is due; NEVER while no work may be begun."""
        _, soonest = self._soonest()
        return NEVER if soonest is None else max(self._next_at, soonest.next_deadline())

    def turn(self, now: float) -> None:
        """Delete a batch of the queue that is due first, if it is time."""
        name, soonest = self._soonest()
        if soonest is None or now < max(self._next_at, soonest.next_deadline()):
            return
        # Last in the order, so that one which fails does not keep the others from their turns.
        self._prunings[name] = self._prunings.pop(name)
        started = time.monotonic()
        soonest.turn(now)
        self._next_at = now + _TIMES_AS_LONG * (time.monotonic() - started)

    def _soonest(self) -> tuple[str, Pruning | None]:
        names = self._queues.names
        if names != self._names:
            self._names = names
            self._prunings = {name: self._of(name) for name in names}
        return min(
            self._prunings.items(), key=lambda item: item[1].next_deadline(), default=("", None)
        )

    def _of(self, queue_name: str) -> Pruning:
        known = self._prunings.get(queue_name)
        return known or Pruning(queue_name, self._settings_of(queue_name), self._standing)


class Pruning:
    """Prunes one queue by its retention settings, batch by batch.

    Once a minute; a full batch is followed by the next one soon, at a fifth of the manager's time
    in all. So the faster tasks can be deleted, the more of them are. What cannot go since something
    points at it is tried again once an hour.

    It begins with what a killed manager has left to delete on completion, which is tried once.
    """

    def __init__(self, queue_name: str, settings: QueueSettings, standing: Standing) -> None:
        self._queue_name = queue_name
        self._settings = settings
        self._standing = standing
        self._next_at = 0.0
        self._anew_at = 0.0
        self._pruner = Pruner(queue_name, settings)
        self._leftovers: Pruner | None = None
        if settings.DELETE_TASKS_ON_COMPLETE and others_point_at_tasks():
            self._leftovers = Pruner.of_leftovers(queue_name)
        self._has_told = False

    def next_deadline(self) -> float:
        """Return when the next batch is due; NEVER while no work may be begun."""
        return self._next_at if self._standing.may_begin_work else NEVER

    def turn(self, now: float) -> None:
        """Delete a batch of what the settings let go of, if it is time."""
        if now < self.next_deadline():
            return
        if now >= self._anew_at:
            self._pruner = Pruner(self._queue_name, self._settings)
            self._anew_at = now + _AGAIN_SECONDS
        pruner = self._leftovers or self._pruner
        started = time.monotonic()
        pruner.batch()
        if self._settings.DELETE_TASKS_ON_COMPLETE:
            delete_throttled(self._queue_name)
            delete_parents(self._queue_name)
        spent = time.monotonic() - started
        is_done = pruner is self._pruner and pruner.is_done
        self._next_at = now + (_INTERVAL_SECONDS if is_done else _TIMES_AS_LONG * spent)
        if pruner.is_done:
            self._leftovers = None
        if self._pruner.kept and not self._has_told:
            self._has_told = True
            logger.warning(
                "ended tasks of queue %r are kept beyond their retention, since something points at"
                " them; they are tried again every hour",
                self._queue_name,
            )
