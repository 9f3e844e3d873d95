"""When a manager ends by itself: nothing is due, one pass is done, time or tasks are used up."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from django_partisan import lifecycle
from django_partisan.backoff import MAX_PAUSE_SECONDS
from django_partisan.config.const import NEVER
from django_partisan.config.wording import counted, listed
from django_partisan.database.values import MAX_SURVEYED_QUEUES, Survey
from django_partisan.exceptions import ConfigurationError
from django_partisan.logs import say
from django_partisan.manager.claiming.claimer import LOCKED_SECONDS
from django_partisan.manager.claiming.queues import Queues
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.manager.round_trip import RoundTrip
from django_partisan.manager.standing import Standing
from django_partisan.manager.start_limit import StartLimit

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunMode:
    """What makes a manager end before anybody asks it to. Raises ConfigurationError when wrong."""

    until_done: bool = False
    """End once nothing is due any more."""
    once: bool = False
    """End after one pass: what is due until each queue has been found empty."""
    duration: float | None = None
    """End after so many seconds."""
    max_tasks: int | None = None
    """End after so many starts of tasks."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.until_done and self.once:
            raise ConfigurationError(
                "--once and --until_done: one pass, or until nothing is due; leave one of them out."
            )
        if self.duration is not None and not 0 < self.duration <= MAX_PAUSE_SECONDS:
            raise ConfigurationError(
                f"--duration: {self.duration:g} is no time to run; give a number of seconds above 0"
                f" and of {MAX_PAUSE_SECONDS:,.0f} at most."
            )
        if self.max_tasks is not None and self.max_tasks < 1:
            raise ConfigurationError(
                f"--max_tasks: {self.max_tasks} tasks are none to run; give 1 or more."
            )

    @property
    def ends_when_idle(self) -> bool:
        """Whether the end depends on what there is to do."""
        return self.until_done or self.once

    @property
    def ends(self) -> bool:
        """Whether the manager ends by itself at all."""
        return self.ends_when_idle or self.duration is not None or self.max_tasks is not None


class Stoppable(Protocol):
    """What can be asked to end: the shutdown, which stands beside the duties."""

    def end(self) -> None:
        """Stop gracefully, as after a first signal."""


class UsedUp:
    """Ends the manager when its time is over, or when it has started as many tasks as it may."""

    def __init__(
        self,
        mode: RunMode,
        limit: StartLimit | None,
        pool: WorkerPool,
        standing: Standing,
        shutdown: Stoppable,
    ) -> None:
        self._limit = limit
        self._pool = pool
        self._standing = standing
        self._shutdown = shutdown
        self._seconds = mode.duration
        self._end_at = NEVER if mode.duration is None else time.monotonic() + mode.duration

    def next_deadline(self) -> float:
        """Return when the time is over; at once when no task may be started any more."""
        if self._standing.is_stopping:
            return NEVER
        has_started_all = (
            self._limit is not None and not self._pool.in_hand and not self._limit.left(0)
        )
        return 0.0 if has_started_all else self._end_at

    def turn(self, now: float) -> None:
        """End the manager if it is time."""
        if now < self.next_deadline():
            return
        if now >= self._end_at:
            say(logger, "the %g s of --duration are over, so this manager ends", self._seconds)
        else:
            assert self._limit is not None
            tasks = counted(self._limit.most, "task")
            say(logger, "the %s of --max_tasks have been run, so this manager ends", tasks)
        self._end_at = NEVER
        self._shutdown.end()


class Draining:
    """Ends the manager once nothing is due (``until_done``), or after one pass (``once``).

    What runs, and what waits to be recorded, comes before. Paused queues are passed by.
    """

    def __init__(
        self,
        mode: RunMode,
        queues: Queues,
        pool: WorkerPool,
        round_trip: RoundTrip,
        standing: Standing,
        shutdown: Stoppable,
    ) -> None:
        self._mode = mode
        self._queues = queues
        self._pool = pool
        self._round_trip = round_trip
        self._standing = standing
        self._shutdown = shutdown
        self._look_at = 0.0

    def next_deadline(self) -> float:
        """Return at once when it seems that there is nothing to do any more."""
        if not self._mode.ends_when_idle or not self._standing.may_claim:
            return NEVER
        if self._mode.once and not self._queues.is_closed:
            return 0.0 if self._is_pass_over() else NEVER
        return self._look_at if self._is_idle() else NEVER

    def turn(self, now: float) -> None:
        """Look whether anything is due, and end the manager if not."""
        if now < self.next_deadline():
            return
        if self._mode.once:
            self._queues.is_closed = True
            if self._is_idle():
                self._end("one pass is done, so this manager ends")
            return
        found = self._survey(now)
        if any(surveyed.has_due for of_queue in found.values() for surveyed in of_queue):
            self._look_at = now + LOCKED_SECONDS  # It is claimed now, or by a peer.
            return
        self._end("nothing is due any more, so this manager ends; %s", _left(found))

    def _is_pass_over(self) -> bool:
        return all(each.is_exhausted or each.is_paused for each in self._queues.claimers)

    def _is_idle(self) -> bool:
        round_trip = self._round_trip
        has_work = self._pool.in_hand or round_trip.queue.qsize() or len(round_trip.recorder)
        return not has_work and (self._queues.is_closed or not self._has_more())

    def _has_more(self) -> bool:
        return any(each.has_more and not each.is_paused for each in self._queues.claimers)

    def _survey(self, now: float) -> Survey:
        """Look at every queue anew: nothing else proves that nothing is due."""
        if self._queues.choice.has_all:
            self._queues.found(lifecycle.queue_names(), now)
        names = [each.queue_name for each in self._queues.claimers if not each.is_paused]
        found: Survey = {}
        for start in range(0, len(names), MAX_SURVEYED_QUEUES):
            started = time.monotonic()
            part = lifecycle.survey(names[start : start + MAX_SURVEYED_QUEUES])
            self._queues.surveyed(part, started)
            found.update(part)
        return found

    def _end(self, text: str, *words: object) -> None:
        say(logger, text, *words)
        self._shutdown.end()


def _left(found: Survey) -> str:
    """Return in words what waits for later."""
    waits = list(_waits(found))
    return f"for later wait: {listed(waits)}" if waits else "nothing waits for later"


def _waits(found: Survey) -> Iterator[str]:
    for name, of_queue in found.items():
        seconds = [each.next_due_in for each in of_queue if each.next_due_in is not None]
        if seconds:
            yield f"tasks of {name!r}, the first one in {max(1, math.ceil(min(seconds))):,} s"
