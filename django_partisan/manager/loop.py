"""The manager's loop: one turn that does what is due, and one wait, again and again."""

from __future__ import annotations

import contextlib
import gc
import logging
import selectors
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import setproctitle

from django_partisan.config.const import ExitCode
from django_partisan.database.migration_state import require_migrated
from django_partisan.lifecycle.rows import database
from django_partisan.logs import say
from django_partisan.manager.claiming.notification_watch import NotificationWatch
from django_partisan.manager.claiming.queues import Queues
from django_partisan.manager.code_watch import watching_code
from django_partisan.manager.database_link import DatabaseLink
from django_partisan.manager.duties import Duty
from django_partisan.manager.duties.cancels import Cancels
from django_partisan.manager.duties.chains import Chains
from django_partisan.manager.duties.completed import Completed
from django_partisan.manager.duties.discovery import Discovery
from django_partisan.manager.duties.expiry import Expiry
from django_partisan.manager.duties.fencing import Fencing
from django_partisan.manager.duties.handing_out import HandingOut
from django_partisan.manager.duties.local_ttl import LocalTtl
from django_partisan.manager.duties.long_transactions import LongTransactions
from django_partisan.manager.duties.pauses import Pauses
from django_partisan.manager.duties.pruning import PruningOfQueues
from django_partisan.manager.duties.rescue import Rescue
from django_partisan.manager.duties.run_modes import Draining, RunMode, UsedUp
from django_partisan.manager.duties.scheduler import Scheduler
from django_partisan.manager.duties.siblings import Siblings
from django_partisan.manager.duties.side_duty import SideDuty
from django_partisan.manager.duties.sweep import Sweep
from django_partisan.manager.duties.takeover import Takeover
from django_partisan.manager.duties.tally import Tally
from django_partisan.manager.heartbeat import Heartbeat, checked_label
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.pool import reaping
from django_partisan.manager.pool.hard_limits import HardLimits
from django_partisan.manager.pool.launcher_client import launcher_options
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.manager.queue_choice import choose_queues
from django_partisan.manager.recorder import Recorder
from django_partisan.manager.round_trip import RoundTrip
from django_partisan.manager.runtimes import Runtimes
from django_partisan.manager.shutdown import Shutdown
from django_partisan.manager.standing import Standing
from django_partisan.manager.start_limit import StartLimit
from django_partisan.manager.stop_signals import STOP_SIGNALS, noted_signals
from django_partisan.manager.stride import Stride
from django_partisan.manager.worker_reports import WorkerReports
from django_partisan.settings import (
    QueueSettings,
    get_process_settings,
    merge_overrides,
    settings_of,
)

logger = logging.getLogger(__name__)
_SHORTEST_WAIT: Final = 0.01
"""What is overdue and could not be done is tried again after so long, not at once."""
_LONGEST_WAIT: Final = 5.0
_REPORT_SECONDS: Final = 0.01
"""How long reports may gather while every worker has enough to do: each wake-up costs CPU."""


class WorkersManager:
    """Serves queues with a pool of worker processes until a signal ends it.

    ``queue_name`` is one name or several, in their order; "*" stands for all queues but those of
    ``exclude_queue``, also for those that come later. ``strict_order`` has a queue wait while one
    before it has tasks; otherwise they share the workers' time by WEIGHT.

    ``mode`` has it end by itself. ``label`` is a name for people. ``serves_schedules`` says whether
    it enqueues what is scheduled.

    Every other argument overrides the setting of the same name, of each queue. Raises
    ConfigurationError when settings or arguments are wrong.
    """

    def __init__(
        self,
        *,
        queue_name: str | Iterable[str] | None = None,
        exclude_queue: str | Iterable[str] = (),
        strict_order: bool = False,
        min_queue_size: int | None = None,
        max_queue_size: int | None = None,
        checks_before_cleanup: int | None = None,
        workers_count: int | None = None,
        sleep_delay_seconds: float | None = None,
        mode: RunMode | None = None,
        label: str = "",
        serves_schedules: bool = True,
        console: dict[str, Any] | None = None,
    ) -> None:
        self.mode = mode or RunMode()
        self.label = checked_label(label)
        self.serves_schedules = serves_schedules
        """Whether it fires schedules, whatever queue their tasks are for."""
        self.choice = choose_queues(queue_name, exclude_queue, is_strict=strict_order)
        self.queue_name = self.choice.first
        self._overrides: dict[str, Any] = {
            "min_queue_size": min_queue_size,
            "max_queue_size": max_queue_size,
            "checks_before_cleanup": checks_before_cleanup,
            "workers_count": workers_count,
            "sleep_delay_seconds": sleep_delay_seconds,
        }
        self.settings = merge_overrides(self.queue_name, **self._overrides)
        """Those of the first queue, which hold for what the manager has only one of."""
        self._overrides["workers_count"] = self.settings.WORKERS_COUNT
        self.process_settings = get_process_settings()
        self._has_new_code = False
        self.selector = selectors.DefaultSelector()
        self._make_organs(console)
        self._make_duties()
        self.selector.register(self.link.statement, selectors.EVENT_READ, self._take_answer)

    def _make_organs(self, console: dict[str, Any] | None) -> None:
        settings, process_settings = self.settings, self.process_settings
        runtimes = Runtimes()
        stride = None
        if self.choice.is_several:
            stride = Stride(runtimes, is_strict=self.choice.is_strict)
        self.queue = LocalQueue(stride)
        """The tasks that wait here for a worker."""
        self.link = DatabaseLink(database(), self._on_connect)
        self.heartbeat = Heartbeat(self.choice.at_start(), process_settings, self.label)
        self.recorder = Recorder(
            deletes=lambda name: settings_of(name).DELETE_TASKS_ON_COMPLETE,
            max_rescues=process_settings.MAX_RESCUES,
        )
        """The outcomes that wait to be recorded."""
        options = launcher_options(self.choice.title, settings, process_settings, console)
        self.pool = WorkerPool(settings.WORKERS_COUNT, options, self.selector, runtimes)
        self.queues = Queues(
            self.choice,
            self._settings_of,
            self.link,
            self.queue,
            runtimes,
            stride,
            process_settings.NOTIFY,
        )
        self.notifications = NotificationWatch(self.selector, self.link, self.queues.listener)
        self.standing = Standing(self.heartbeat, self.link, self.pool, self.queue, self.queues)
        self.round_trip = RoundTrip(
            self.queues,
            self.recorder,
            self.queue,
            self.pool,
            self.link,
            self.heartbeat,
            self.standing,
        )
        self.hard_limits = HardLimits(self.pool, self.queue)
        self.start_limit = None
        if self.mode.max_tasks is not None:
            limit = self.start_limit = self.pool.start_limit = StartLimit(self.mode.max_tasks)
            pool, queue = self.pool, self.queue
            self.queues.start_room = lambda: limit.left(pool.in_hand + queue.qsize())
        self.pool.observe(
            WorkerReports(self.round_trip, self.hard_limits, self.link, stride, self.start_limit)
        )

    def _make_duties(self) -> None:
        """Make what is done in a turn, in this order: beside claiming, before it, after it."""
        heartbeat, standing, round_trip = self.heartbeat, self.standing, self.round_trip
        settings, link = self.process_settings, self.link
        completed = SideDuty(Completed(self.recorder), "deleting finished tasks", link)
        self.shutdown = Shutdown(
            link,
            heartbeat,
            standing,
            round_trip,
            self.pool,
            completed.turn,
            settings.SHUTDOWN_GRACE_SECONDS,
        )
        self.handing_out = HandingOut(self.queue, self.pool, standing)
        listener = self.queues.listener
        cancels = Cancels(heartbeat, self.pool, self.hard_limits, listener, round_trip)
        pauses = Pauses(heartbeat, self.queues, self.pool, self.hard_limits, round_trip)
        sweep = Sweep(heartbeat, standing, self.queues.expect)
        takeover = Takeover(self.choice, settings, heartbeat, standing, round_trip)
        local_ttl = LocalTtl(self.queue, self.queues, round_trip, settings.LOCAL_TTL_SECONDS)
        discovery = Discovery(self.queues, heartbeat)
        pruning = PruningOfQueues(self.queues, self._settings_of, standing)
        used_up = UsedUp(self.mode, self.start_limit, self.pool, standing, self.shutdown)
        draining = Draining(self.mode, self.queues, self.pool, round_trip, standing, self.shutdown)
        warning = LongTransactions(link, settings.LONG_TRANSACTION_SECONDS)
        self._side_duties: tuple[Duty, ...] = (
            SideDuty(Rescue(heartbeat, standing, settings), "rescuing orphans", link),
            SideDuty(Siblings(heartbeat, standing, settings), "looking for dead siblings", link),
            SideDuty(discovery, "looking for queues", link),
            SideDuty(cancels, "looking for tasks to cancel", link),
            SideDuty(pauses, "looking for pauses", link),
            SideDuty(sweep, "freeing held tasks and ending expired ones", link),
            SideDuty(takeover, "taking over a former manager's tasks", link),
            SideDuty(local_ttl, "giving tasks back that have waited for too long", link),
            completed,
            SideDuty(pruning, "pruning", link),
            SideDuty(Chains(heartbeat, standing), "continuing chains of repeats", link),
            SideDuty(warning, "looking for long transactions", link),
            SideDuty(draining, "looking whether anything is left to do", link),
            *self._scheduler(),
        )
        self._urgent_duties: tuple[Duty, ...] = (
            self.hard_limits,
            Fencing(heartbeat, standing),
            Expiry(self.pool, self.hard_limits, round_trip),
        )
        self._local_duties: tuple[Duty, ...] = (
            self.pool,
            used_up,
            Tally(self.recorder, self.queue, self.pool),
        )
        self._sides_due_at = 0.0

    def _scheduler(self) -> Iterator[Duty]:
        if self.serves_schedules:
            scheduler = Scheduler(self.heartbeat, self.standing, self._wake_for)
            yield SideDuty(scheduler, "firing schedules", self.link)

    def _wake_for(self, queue_names: set[str], now: float) -> None:
        """Look at queues that have got tasks: nobody tells a manager of its own writes."""
        for queue_name in queue_names:
            self.queues.expect(queue_name, now)

    # ----- life -----

    def run_partisan(self, *, is_last: bool = False, reload: bool = False) -> ExitCode:
        """Serve the queues until a signal or the run mode asks for a stop; return the exit code.

        ``is_last`` says that the process exits afterwards: then late signals are ignored. With
        ``reload`` a change of the project's code asks for a stop as well: see
        :attr:`wants_restart`.
        Raises WorkerBootError, NotMigrated or ManagerAlreadyRunning when it cannot begin.
        """
        reaping.become_subreaper()
        # A signal that arrives while everything is closed must not end the process in the middle.
        noted = noted_signals(self.selector, self.stop, self.report, is_last=is_last)
        code = watching_code(self.selector, self._reload) if reload else contextlib.nullcontext()
        with self.selector, noted as signals, code:
            # Whoever goes by the title may send signals from now on.
            setproctitle.setproctitle(f"partisan/parent {self._title}")
            if signals is not None:
                self.link.watchdog.watch_signals(signals, STOP_SIGNALS)
            if is_last:
                gc.freeze()  # What has been loaded stays: no need to look through it ever again.
            try:
                self.pool.turn(time.monotonic())  # The project is loaded beside the registration.
                self.turn(time.monotonic())
                while self.shutdown.exit_code is None:
                    self.wait()
                    self.turn(time.monotonic())
            finally:
                self.pool.close()
                self.link.end()
        exit_code = self.shutdown.exit_code
        logger.info("stopped (%s); %s", exit_code.name.lower(), self.recorder.summary())
        return exit_code

    @property
    def wants_restart(self) -> bool:
        """Whether it has ended to be started again, with code that has changed."""
        return self._has_new_code and not self.shutdown.was_signalled

    def end_with(self, lifeline: int) -> None:
        """Stop gracefully when the other end of a pipe is closed: its holder has ended."""

        def end() -> None:
            self.selector.unregister(lifeline)
            self.shutdown.end()

        self.selector.register(lifeline, selectors.EVENT_READ, end)

    def stop(self) -> None:
        """Ask for a graceful stop; called again more than a second later, for one at once.

        Within a second it is the same wish: a process group may deliver a signal twice.
        """
        self.shutdown.request()

    def report(self) -> None:
        """Log what every worker does at this moment, and what waits."""
        # As warnings: somebody has asked for it, whatever else is logged.
        logger.warning(
            "manager %s serves %s: %d tasks wait here, %d outcomes wait to be recorded",
            self.heartbeat.manager_id,
            self.choice,
            self.queue.qsize(),
            len(self.recorder),
        )
        for line in self.pool.describe(time.monotonic()):
            logger.warning("%s", line)

    def turn(self, now: float) -> None:
        """Do everything that is due, once. Never waits for anything but the database."""
        for duty in self._urgent_duties:
            duty.turn(now)
        if self.shutdown.is_due:
            self.shutdown.begin(now)
        if not self.link.is_busy:
            self.link.use(now, lambda: self._use_database(now))
        self.handing_out.turn(now)
        for duty in self._local_duties:
            duty.turn(now)
        # What was claimed is handed out by now, and need not wait for the answer to this.
        if self.queues.must_look_ahead and not self.link.is_busy:
            self.link.use(now, lambda: self.queues.look_ahead(now))
        self.shutdown.turn(now)

    def wait(self) -> None:
        """Wait for the next event or deadline, and take the events in."""
        self.notifications.take()
        timeout = max(0.0, min(self._deadlines()) - time.monotonic())
        self.notifications.renew()
        if self.pool.has_enough:
            pause = min(timeout, _REPORT_SECONDS)
            time.sleep(pause)
            timeout -= pause
        for key, _ in self.selector.select(timeout):
            key.data()

    # ----- turning and waiting -----

    @property
    def _title(self) -> str:
        return f"{self.choice.title} ({self.label})" if self.label else self.choice.title

    def _reload(self, path: Path) -> None:
        say(logger, "%s has changed: running tasks finish, then this manager begins anew", path)
        self._has_new_code = True
        self.shutdown.end()

    def _settings_of(self, queue_name: str) -> QueueSettings:
        return settings_of(queue_name, **self._overrides)

    def _use_database(self, now: float) -> None:
        self.standing.turn(now)
        if now >= self._sides_due_at:
            for duty in self._side_duties:
                duty.turn(now)
        # Asked for again before the next wait. So a task that ends a wait is claimed at once,
        # without asking each of them whether it happens to be due at this very moment.
        self._sides_due_at = 0.0
        self.round_trip.turn(now)

    def _deadlines(self) -> Iterator[float]:
        now = time.monotonic()
        yield now + _LONGEST_WAIT
        for duty in (*self._urgent_duties, *self._local_duties, self.handing_out, self.shutdown):
            yield max(duty.next_deadline(), now + _SHORTEST_WAIT)
        retry_at = self.link.retry_at()
        if retry_at is not None:
            yield retry_at
        elif not self.link.is_busy:
            self._sides_due_at = min(duty.next_deadline() for duty in self._side_duties)
            yield self._sides_due_at
            yield self.standing.next_deadline()
            yield self.round_trip.next_deadline()

    def _take_answer(self) -> None:
        self.link.finish(time.monotonic())

    def _on_connect(self) -> None:
        require_migrated(self.link.connection)
        self.round_trip.connected()
        is_own = self.queues.listener.has_own_session
        self.link.dialect.prepare_session(self.link.connection, is_own=is_own)
