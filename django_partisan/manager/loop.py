"""The manager: one loop that claims, hands out, records, beats, rescues, and stops in order."""

from __future__ import annotations

import contextlib
import logging
import selectors
import time
from collections.abc import Iterator
from typing import Any, Final

import setproctitle

from django_partisan import lifecycle
from django_partisan.attempt import (
    CRASHED,
    FINISHED,
    RECORDED,
    RELEASED,
    ClaimedTask,
    ErrorReport,
    Outcome,
)
from django_partisan.config.const import DEFAULT_QUEUE_NAME, ExitCode
from django_partisan.database.migration_state import require_migrated
from django_partisan.fault_points import reach
from django_partisan.lifecycle.rows import database
from django_partisan.lifecycle.transitions import orphan_outcome
from django_partisan.manager.database_link import DatabaseLink
from django_partisan.manager.duties.cancels import Cancels
from django_partisan.manager.duties.long_transactions import LongTransactions
from django_partisan.manager.duties.pruning import Pruning
from django_partisan.manager.heartbeat import Fence, Heartbeat
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.pool import reaping
from django_partisan.manager.pool.hard_limits import HardLimits
from django_partisan.manager.pool.worker_handle import WorkerHandle
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.manager.recorder import Recorder
from django_partisan.manager.round_trip import Exchange
from django_partisan.manager.shutdown import Shutdown
from django_partisan.manager.stop_signals import noted_signals
from django_partisan.models import ManagerProcess
from django_partisan.settings import get_process_settings, merge_overrides

logger = logging.getLogger(__name__)
_LONGEST_WAIT: Final = 5.0
_REPORT_SECONDS: Final = 0.01
"""How long reports may gather while every worker has enough to do: each wake-up costs CPU."""


class WorkersManager:
    """Serves one queue with a pool of worker processes until a signal ends it.

    Every argument but the queue's name overrides the setting of the same name. Raises
    ConfigurationError when settings or arguments are wrong.
    """

    def __init__(
        self,
        *,
        queue_name: str = DEFAULT_QUEUE_NAME,
        min_queue_size: int | None = None,
        max_queue_size: int | None = None,
        checks_before_cleanup: int | None = None,
        workers_count: int | None = None,
        sleep_delay_seconds: float | None = None,
        console: dict[str, Any] | None = None,
    ) -> None:
        self.queue_name = queue_name
        self.settings = merge_overrides(
            queue_name,
            min_queue_size=min_queue_size,
            max_queue_size=max_queue_size,
            checks_before_cleanup=checks_before_cleanup,
            workers_count=workers_count,
            sleep_delay_seconds=sleep_delay_seconds,
        )
        self.process_settings = get_process_settings()
        self.selector = selectors.DefaultSelector()
        self.link = DatabaseLink(database(), self._on_connect)
        self.heartbeat = Heartbeat(queue_name, self.process_settings)
        self.long_transactions = LongTransactions(
            self.link, self.process_settings.LONG_TRANSACTION_SECONDS
        )
        self.pruning = Pruning(queue_name, self.settings)
        self.pool = WorkerPool(
            self.settings.WORKERS_COUNT, self._launcher_options(console), self.selector, self
        )
        self.exchange = Exchange(
            queue_name,
            self.settings,
            self.process_settings,
            self.link,
            self.heartbeat,
            self.pool.runtimes,
        )
        self.hard_limits = HardLimits(self.pool, self.queue)
        self.cancels = Cancels(self.exchange, self.heartbeat, self.pool, self.hard_limits)
        grace_seconds = self.process_settings.SHUTDOWN_GRACE_SECONDS
        self.shutdown = Shutdown(self.link, self.heartbeat, self.exchange, self.pool, grace_seconds)
        self._watched: tuple[int, int] | None = None
        self._rebalance_at: float | None = None
        self.selector.register(self.link.statement, selectors.EVENT_READ, self._take_answer)

    @property
    def queue(self) -> LocalQueue:
        """The tasks that wait here for a worker."""
        return self.exchange.queue

    @property
    def recorder(self) -> Recorder:
        """The outcomes that wait to be recorded."""
        return self.exchange.recorder

    # ----- life -----

    def run_partisan(self, *, is_last: bool = False) -> ExitCode:
        """Serve the queue until SIGTERM or SIGINT, and return the exit code.

        ``is_last`` says that the process exits afterwards: then late signals are ignored.
        Raises WorkerBootError, NotMigrated or ManagerAlreadyRunning when it cannot begin.
        """
        setproctitle.setproctitle(f"partisan/parent {self.queue_name}")
        reaping.become_subreaper()
        # A signal that arrives while everything is closed must not end the process in the middle.
        with self.selector, noted_signals(self.selector, self.stop, is_last=is_last) as signals:
            if signals is not None:
                self.link.watchdog.watch_signals(signals)
            try:
                self.turn(time.monotonic())
                while self.shutdown.exit_code is None:
                    self.wait()
                    self.turn(time.monotonic())
            finally:
                self._close()
        exit_code = self.shutdown.exit_code
        logger.info("stopped (%s); %s", exit_code.name.lower(), self._summary())
        return exit_code

    def stop(self) -> None:
        """Ask for a graceful stop; called again more than a second later, for one at once.

        Within a second it is the same wish: a process group may deliver a signal twice.
        """
        self.shutdown.request()

    def turn(self, now: float) -> None:
        """Do everything that is due, once. Never waits for anything but the database."""
        self.hard_limits.turn(now)
        self.pool.maintain(now)
        self._keep_fence()
        if self.shutdown.is_due:
            self.shutdown.begin(now)
        if not self.link.is_busy and self.link.ready(now):
            with self.link.attempt(now):
                self._keep_standing(now)
                self.cancels.turn(now)
                if self._may_begin_work():
                    self.pruning.prune_if_due(now)
                self.long_transactions.check_if_due(now)
                self.exchange.turn(now, self.pool.in_hand, may_claim=self._may_claim())
        self._hand_out(now)
        self._look_ahead(now)
        if self.shutdown.has_begun:
            self.shutdown.turn(now)

    def wait(self) -> None:
        """Wait for the next event or deadline, and take the events in."""
        self._take_notifications()
        timeout = max(0.0, min(self._deadlines()) - time.monotonic())
        self._watch_database()
        if self.pool.has_enough:
            pause = min(timeout, _REPORT_SECONDS)
            time.sleep(pause)
            timeout -= pause
        for key, _ in self.selector.select(timeout):
            key.data()

    # ----- what the pool tells -----

    def ended(self, handle: WorkerHandle, task: ClaimedTask, outcome: Outcome) -> None:
        """Take note of a worker's report."""
        if outcome.kind == RECORDED:
            self.recorder.counts[FINISHED] += 1
            return
        self.exchange.ended(task, outcome, handle.pid)

    def died(self, handle: WorkerHandle, unstarted: list[ClaimedTask], reason: str) -> None:
        """Take note of a worker's death: only the task that it ran is charged."""
        self.queue.put_first(unstarted)
        for item in handle.in_hand:
            self._charge(item.task, handle, reason)
        if not handle.is_stopping and not handle.kill_reason:
            logger.warning("%s; starting another", reason)

    def prove_start(self, task: ClaimedTask) -> bool:
        """Write that a formerly rescued task starts now, so that a peer can prove it too."""
        now, started = time.monotonic(), None
        if self.link.ready(now):
            with self.link.attempt(now):
                started = lifecycle.mark_started([task])
        if started is None:
            self.queue.put_first([task])
        elif not started:
            logger.warning("task %d is not ours any more; it is not run", task.id)
        return bool(started)

    def _charge(self, task: ClaimedTask, handle: WorkerHandle, reason: str) -> None:
        outcome = self.hard_limits.outcome(handle, task)
        if outcome is None:
            kind = RELEASED if handle.kill_reason else CRASHED
            error = ErrorReport("WorkerDied", f"{reason} while it ran the task", "")
            outcome = orphan_outcome(task, kind, error)
        self.exchange.ended(task, outcome, handle.pid)

    # ----- standing -----

    def _keep_fence(self) -> None:
        """Stop the work that peers may have begun to do instead."""
        if self.heartbeat.manager_id is None or self.heartbeat.fence() is not Fence.SHUT:
            return
        logger.error(
            "no heartbeat for %g s: stopping what runs, as others hold this manager for dead",
            self.process_settings.DEAD_AFTER_SECONDS,
        )
        self._abandon()

    def _abandon(self) -> None:
        """Give up every task and the registration; outcomes at hand are still tried to record."""
        self.heartbeat.lose()
        self.queue.take_all()
        self.pool.kill("the manager lost its standing")
        self.queue.take_all()

    def _keep_standing(self, now: float) -> None:
        if self.heartbeat.manager_id is None:
            self._register()
        if self.heartbeat.is_beat_due(now):
            self._beat(now)
            reach("manager.beaten")
        if not self.shutdown.has_begun:
            self.heartbeat.rescue_if_due(now)

    def _beat(self, now: float) -> None:
        """Beat; an idle manager looks at its queue in the same breath, which saves a poll."""
        states = ManagerProcess.State
        state = states.STOPPING if self.shutdown.has_begun else states.RUNNING
        wants_survey = self._may_claim() and self.exchange.may_survey(now)
        queue_name = self.queue_name if wants_survey else None
        pulse = self.heartbeat.beat(state, self._snapshot(), queue_name)
        if pulse is None:
            logger.error("this manager's registration is gone: stopping what runs")
            self._abandon()
            self._register()
        elif pulse.found is not None:
            self.exchange.surveyed(pulse.found, now)

    def _register(self) -> None:
        self.heartbeat.register()
        reach("manager.registered")
        logger.info(
            "manager %d on %s serves queue %r with %d workers (%s, %s)",
            self.heartbeat.manager_id,
            self.heartbeat.identity.node_name,
            self.queue_name,
            self.settings.WORKERS_COUNT,
            self.link.connection.display_name,
            self.exchange.wakeup.mode,
        )

    def _on_connect(self) -> None:
        require_migrated(self.link.connection)
        self.exchange.connected(self.pool.held_ids())
        is_own = self.exchange.wakeup.has_own_session
        self.link.dialect.prepare_session(self.link.connection, is_own=is_own)

    # ----- handing out -----

    def _hand_out(self, now: float) -> None:
        self._rebalance_at = None
        if self._may_hand_out():
            self.pool.hand_out(self.queue, now)
            self._rebalance_at = self.pool.rebalance(self.queue, now)

    def _look_ahead(self, now: float) -> None:
        if self.exchange.must_look_ahead and not self.link.is_busy and self.link.ready(now):
            with self.link.attempt(now):
                self.exchange.look_ahead(now)

    def _may_begin_work(self) -> bool:
        return not self.shutdown.has_begun and self.heartbeat.fence() is Fence.OPEN

    def _may_hand_out(self) -> bool:
        return self.link.is_up and self._may_begin_work()

    def _may_claim(self) -> bool:
        return self.pool.is_booted and self._may_begin_work()

    # ----- waiting -----

    def _deadlines(self) -> Iterator[float]:
        now = time.monotonic()
        yield now + _LONGEST_WAIT
        retry_at = self.link.retry_at()
        if retry_at is not None:
            yield retry_at
        elif not self.link.is_busy:
            yield from self._database_deadlines()
        if self._may_hand_out() and self.queue.qsize() and self.pool.has_idle:
            yield now
        moments = (self.pool.next_deadline(), self.hard_limits.next_deadline())
        for deadline in (*moments, self._rebalance_at, self.shutdown.deadline):
            if deadline is not None:
                yield deadline if deadline > now else now + 0.01
        if self.heartbeat.manager_id is not None:
            yield self.heartbeat.fence_at()
        if self.shutdown.is_due:
            yield now

    def _database_deadlines(self) -> Iterator[float]:
        yield self.heartbeat.next_deadline(rescues=not self.shutdown.has_begun)
        yield self.cancels.next_deadline()
        if self._may_begin_work():
            yield self.pruning.next_deadline()
        yield from self.exchange.deadlines(self.pool.in_hand, may_claim=self._may_claim())

    def _take_notifications(self) -> None:
        """Take in notifications; of one that came with an answer no descriptor would tell."""
        now = time.monotonic()
        if self.link.is_up and not self.link.is_busy:
            with self.link.attempt(now):
                self.exchange.wakeup.check(now)

    def _take_answer(self) -> None:
        self.link.finish(time.monotonic())

    def _watch_database(self) -> None:
        """Wait on the connection too, so that a notification wakes the loop."""
        # While a call is under way, the descriptor would tell of its answer, not of notifications.
        is_ours = self.link.is_up and not self.link.is_busy
        fd = self.exchange.wakeup.file_descriptor() if is_ours else None
        # A new connection may get the old one's descriptor: the number alone proves nothing.
        wanted = None if fd is None else (fd, self.link.connects)
        if wanted == self._watched:
            return
        if self._watched is not None:
            with contextlib.suppress(KeyError, ValueError, OSError):
                self.selector.unregister(self._watched[0])
        if fd is not None:
            self.selector.register(fd, selectors.EVENT_READ, self._take_notifications)
        self._watched = wanted

    def _close(self) -> None:
        self.pool.close()
        self.link.end()

    # ----- words -----

    def _launcher_options(self, console: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "title": f"partisan/launcher {self.queue_name}",
            "console": console,
            "worker": {
                "title": f"partisan/worker {self.queue_name}",
                "max_tasks": self.settings.TASKS_PER_WORKER_INSTANCE,
                "max_memory_mb": self.settings.WORKER_MAX_MEMORY_MB,
                "orphan_seconds": self.process_settings.DEAD_AFTER_SECONDS * 2 / 3,
            },
        }

    def _snapshot(self) -> dict[str, Any]:
        workers = [worker.snapshot() for worker in self.pool.workers.values()]
        return {"workers": workers, "waiting": self.queue.qsize()}

    def _summary(self) -> str:
        counts = self.recorder.counts
        return ", ".join(f"{counts[kind]} {kind}" for kind in sorted(counts)) or "no task was run"
