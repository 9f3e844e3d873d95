"""Freeing what ended pauses have held, and ending what has expired, batch by batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from django_partisan import lifecycle
from django_partisan.config.const import NEVER
from django_partisan.config.wording import counted
from django_partisan.lifecycle.expiry import EXPIRED_BATCH
from django_partisan.lifecycle.pauses import HELD_BATCH, remove_passed
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.standing import Standing

logger = logging.getLogger(__name__)
_TIMES_AS_LONG: Final = 19.0
"""From one full batch to the next, compared with what it takes: a twentieth of the time in all."""


class Sweep:
    """Does with few statements what claims would do task by task, when a beat has told of it.

    Whose queues the tasks are of does not matter, as with a rescue. ``freed`` is told of the queues
    in which tasks can be claimed again.
    """

    def __init__(
        self, heartbeat: Heartbeat, standing: Standing, freed: Callable[[str, float], None]
    ) -> None:
        self._heartbeat = heartbeat
        self._standing = standing
        self._freed = freed
        self._next_at = 0.0

    def next_deadline(self) -> float:
        """Return when the next batch is due; NEVER while no beat has told of one."""
        has_any = self._heartbeat.has_expired or self._heartbeat.has_pauses
        return self._next_at if has_any and self._standing.may_begin_work else NEVER

    def turn(self, now: float) -> None:
        """End a batch of expired tasks, or else free a batch of held ones."""
        if now < self.next_deadline():
            return
        started = time.monotonic()
        if self._heartbeat.has_expired:
            self._heartbeat.has_expired = self._expire()
        else:
            self._heartbeat.has_pauses = self._free(now)
        self._next_at = now + _TIMES_AS_LONG * (time.monotonic() - started)

    def _expire(self) -> bool:
        """End a batch; say whether there may be more."""
        expired = lifecycle.expire()
        if expired:
            logger.info("%s had expired and will not start", counted(len(expired), "task"))
        return len(expired) == EXPIRED_BATCH

    def _free(self, now: float) -> bool:
        for pause in remove_passed():
            logger.info("%s goes on: its pause was until %s", pause, pause.until)
        freed = lifecycle.free_held()
        for queue_name in set(freed):
            self._freed(queue_name, now)
        return len(freed) == HELD_BATCH
