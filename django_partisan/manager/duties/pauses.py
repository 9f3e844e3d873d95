"""Knowing what is paused, and giving back what was claimed of it before."""

from __future__ import annotations

import logging
from typing import Final

from django_partisan import lifecycle
from django_partisan.attempt import ClaimedTask
from django_partisan.config.const import NEVER
from django_partisan.config.wording import counted
from django_partisan.manager.claiming.queues import Queues
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.pool.hard_limits import HardLimits
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.manager.round_trip import RoundTrip
from django_partisan.models import Pause

logger = logging.getLogger(__name__)
LOOK_SECONDS: Final = 1.0
"""How often to look while notifications may be missed, or do not reach the manager at all."""


class Pauses:
    """Keeps a manager from what is paused: no claims, and nothing unstarted stays in its hands.

    It looks when it is told to, after a beat that has told of pauses, and once a second while there
    are tasks in hand or pauses that it knows of. Whoever has nothing in hand need not know: the
    statement that claims takes nothing of what is paused.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        queues: Queues,
        pool: WorkerPool,
        hard_limits: HardLimits,
        round_trip: RoundTrip,
    ) -> None:
        self._heartbeat = heartbeat
        self._listener = queues.listener
        self._queues = queues
        self._pool = pool
        self._hard_limits = hard_limits
        self._round_trip = round_trip
        self._look_at = 0.0
        self._told_at = NEVER
        self._known: dict[int, Pause] = {}

    def next_deadline(self) -> float:
        """Return when to look next; NEVER while nothing could come of it."""
        if self._heartbeat.manager_id is None:
            return NEVER
        if self._heartbeat.has_pauses and self._told_at != self._heartbeat.beaten_at:
            return 0.0
        if self._listener.may_have_pauses:
            return 0.0
        is_worthwhile = self._known or self._pool.in_hand or self._round_trip.queue.qsize()
        return self._look_at if is_worthwhile else NEVER

    def turn(self, now: float) -> None:
        """Look if it is time to; raises the database's error and then looks again."""
        if now < self.next_deadline():
            return
        current = {pause.pk: pause for pause in lifecycle.current_pauses()}
        self._listener.may_have_pauses = False
        self._told_at = self._heartbeat.beaten_at
        ends = [p.ends_in.total_seconds() for p in current.values() if p.ends_in is not None]
        self._look_at = now + min([LOOK_SECONDS, *ends])
        self._take_in(current, now)
        self._give_back(now)

    def _take_in(self, current: dict[int, Pause], now: float) -> None:
        ended = [pause for pk, pause in self._known.items() if pk not in current]
        for pause in current.values():
            if pause.pk not in self._known:
                logger.info("%s is paused%s", pause, _why(pause))
        for pause in ended:
            logger.info("%s is not paused any more", pause)
        self._known = current
        paused = {pause.queue_name for pause in current.values()}
        for claimer in self._queues.claimers:
            was_paused = claimer.is_paused
            claimer.is_paused = claimer.queue_name in paused
            if was_paused and not claimer.is_paused:
                claimer.wakeup.expect(now)
        if ended:
            # Somebody has to free what they hold, be it that the resume was killed.
            self._heartbeat.has_pauses = True

    def _give_back(self, now: float) -> None:
        """Release what has not started, uncharged: it waits again, and is held there.

        What runs and goes step by step is asked to stop between two of them.
        """
        if not self._known:
            return
        queues = {pause.queue_name for pause in self._known.values()}
        names = {name for pause in self._known.values() for name in pause.names}

        def is_paused(task: ClaimedTask) -> bool:
            return task.queue_name in queues or task.processor_class in names

        unstarted = self._hard_limits.unstarted(is_paused)
        self._pool.ask_back(is_paused)
        if unstarted:
            self._round_trip.release(unstarted)
            self._round_trip.flush_released(now)
            tasks = counted(len(unstarted), "task")
            logger.info("gave back %s of what is paused now", tasks)


def _why(pause: Pause) -> str:
    until = "" if pause.until is None else f" until {pause.until}"
    by = f" by {pause.paused_by}" if pause.paused_by else ""
    return f"{until}{by}{f': {pause.reason}' if pause.reason else ''}"
