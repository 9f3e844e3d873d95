"""The end of a manager: asked for by signals, begun once, gone on with until nothing is left."""

from __future__ import annotations

import logging
import time
from typing import Final

from django_partisan.attempt import ClaimedTask
from django_partisan.config.const import ExitCode
from django_partisan.fault_points import reach
from django_partisan.manager.database_link import DatabaseLink
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.manager.round_trip import Exchange

logger = logging.getLogger(__name__)
_LAST_WORDS_SECONDS: Final = 2.0
"""After the grace period: how long the last outcomes may take to be recorded."""
_SAME_SIGNAL_SECONDS: Final = 1.0


class Shutdown:
    """Stops a manager in order, within a grace period, and decides with which exit code.

    What has not started is given back at once. What runs may end within the grace period; then its
    workers are killed and it is given back, too. At last the registration is removed.
    """

    def __init__(
        self,
        link: DatabaseLink,
        heartbeat: Heartbeat,
        exchange: Exchange,
        pool: WorkerPool,
        grace_seconds: float,
    ) -> None:
        self._link = link
        self._heartbeat = heartbeat
        self._exchange = exchange
        self._pool = pool
        self._grace_seconds = grace_seconds
        self._signals = 0
        self._signalled_at = float("-inf")
        self.deadline: float | None = None
        """When the grace period ends; None until the stop has begun."""
        self.exit_code: ExitCode | None = None
        """Set when nothing is left to do."""

    @property
    def is_due(self) -> bool:
        """Whether a stop was asked for and has not begun."""
        return self._signals > 0 and self.deadline is None

    @property
    def has_begun(self) -> bool:
        """Whether the manager does no more than to end."""
        return self.deadline is not None

    def request(self) -> None:
        """Ask for a graceful stop; called again more than a second later, for one at once.

        Within a second it is the same wish: a process group may deliver a signal twice.
        """
        now = time.monotonic()
        if now - self._signalled_at > _SAME_SIGNAL_SECONDS:
            self._signals += 1
            self._signalled_at = now

    def begin(self, now: float) -> None:
        """Give back what has not started, let the rest run on for the grace period."""
        logger.info("stopping: running tasks have %g s to finish", self._grace_seconds)
        # The grace counts from the signal, which may have had to wait for an answer.
        self.deadline = min(now, self._link.watchdog.signalled_at) + self._grace_seconds
        self._link.shorten_timeouts(self.deadline)
        self._link.finish(now)
        unstarted = self._exchange.queue.take_all() + self._pool.take_back()
        self._pool.stop()
        reach("manager.stopping")
        self._release(unstarted, now)

    def turn(self, now: float) -> None:
        """Kill the workers when their time is up; without any, finish with the database."""
        assert self.deadline is not None
        is_forced = self._signals > 1
        if (is_forced or now >= self.deadline) and self._pool.workers:
            logger.warning("killing %d workers; their tasks are released", len(self._pool.workers))
            self._pool.kill("the manager stops")
            self._release(self._exchange.queue.take_all(), now)
        if not self._pool.workers:
            self._say_goodbye(now, self.deadline, is_forced=is_forced)

    def _release(self, tasks: list[ClaimedTask], now: float) -> None:
        self._exchange.release(tasks)
        if self._link.ready(now):
            with self._link.attempt(now):
                self._exchange.flush_released(now)

    def _say_goodbye(self, now: float, deadline: float, *, is_forced: bool) -> None:
        recorder = self._exchange.recorder
        if self._link.ready(now):
            with self._link.attempt(now):
                recorder.flush(now)
                self._heartbeat.deregister()
                reach("manager.deregistered")
        is_all_recorded = not len(recorder)
        if is_all_recorded and (self._link.is_up or self._heartbeat.manager_id is None):
            self.exit_code = ExitCode.FORCED if is_forced else ExitCode.CLEAN
        elif now >= deadline + _LAST_WORDS_SECONDS or is_forced:
            logger.error("%d outcomes could not be recorded", len(recorder))
            self.exit_code = ExitCode.ERROR
