"""The end of a manager: asked for by signals, begun once, gone on with until nothing is left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from django_partisan.attempt import ClaimedTask
from django_partisan.config.const import NEVER, ExitCode
from django_partisan.config.wording import counted
from django_partisan.fault_points import reach
from django_partisan.manager.database_link import DatabaseLink
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.manager.round_trip import RoundTrip
from django_partisan.manager.standing import Standing

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
        standing: Standing,
        round_trip: RoundTrip,
        pool: WorkerPool,
        delete_completed: Callable[[float], None],
        store_outputs: Callable[[float], None],
        grace_seconds: float,
    ) -> None:
        self._link = link
        self._heartbeat = heartbeat
        self._standing = standing
        self._round_trip = round_trip
        self._pool = pool
        self._delete_completed = delete_completed
        self._store_outputs = store_outputs
        self._grace_seconds = grace_seconds
        self._signals = 0
        self._is_over = False
        self._signalled_at = float("-inf")
        self._deadline = NEVER
        self.exit_code: ExitCode | None = None
        """Set when nothing is left to do."""

    @property
    def is_due(self) -> bool:
        """Whether a stop was asked for and has not begun."""
        return (self._signals > 0 or self._is_over) and not self._standing.is_stopping

    @property
    def was_signalled(self) -> bool:
        """Whether somebody has asked for the stop."""
        return self._signals > 0

    def request(self) -> None:
        """Ask for a graceful stop; called again more than a second later, for one at once.

        Within a second it is the same wish: a process group may deliver a signal twice.
        """
        now = time.monotonic()
        if now - self._signalled_at > _SAME_SIGNAL_SECONDS:
            self._signals += 1
            self._signalled_at = now

    def end(self) -> None:
        """Ask for a graceful stop that is no signal: the first one after it changes nothing."""
        self._is_over = True

    def begin(self, now: float) -> None:
        """Give back what has not started, let the rest run on for the grace period."""
        logger.info("stopping: running tasks have %g s to finish", self._grace_seconds)
        # The grace counts from the signal, which may have had to wait for an answer.
        self._deadline = min(now, self._link.watchdog.signalled_at) + self._grace_seconds
        self._standing.is_stopping = True
        self._link.shorten_timeouts(self._deadline)
        self._link.finish(now)
        unstarted = self._round_trip.queue.take_all() + self._pool.take_back()
        self._pool.stop()
        reach("manager.stopping")
        self._release(unstarted, now)

    def next_deadline(self) -> float:
        """Return when the grace period ends, or at once when a stop was asked for."""
        return 0.0 if self.is_due else self._deadline

    def turn(self, now: float) -> None:
        """Once begun, kill the workers when their time is up; without any, finish."""
        if not self._standing.is_stopping:
            return
        is_forced = self._signals > 1
        if (is_forced or now >= self._deadline) and self._pool.workers:
            workers = counted(len(self._pool.workers), "worker")
            logger.warning("killing %s; what runs is released", workers)
            self._pool.kill("the manager stops")
            self._release(self._round_trip.queue.take_all(), now)
        if not self._pool.workers:
            self._say_goodbye(now, is_forced=is_forced)

    def _release(self, tasks: list[ClaimedTask], now: float) -> None:
        self._round_trip.release(tasks)
        self._link.use(now, lambda: self._round_trip.flush_released(now))

    def _say_goodbye(self, now: float, *, is_forced: bool) -> None:
        recorder = self._round_trip.recorder
        self._link.use(now, lambda: self._finish(now))
        is_all_recorded = not len(recorder)
        if is_all_recorded and (self._link.is_up or self._heartbeat.manager_id is None):
            self.exit_code = ExitCode.FORCED if is_forced else ExitCode.CLEAN
        elif now >= self._deadline + _LAST_WORDS_SECONDS or is_forced:
            logger.error("%s could not be recorded", counted(len(recorder), "outcome"))
            self.exit_code = ExitCode.ERROR

    def _finish(self, now: float) -> None:
        self._store_outputs(now)
        self._round_trip.flush_released(now)
        self._delete_completed(now)
        self._heartbeat.deregister()
        reach("manager.deregistered")
