"""What a manager is made of: its organs, and its duties in the order of a turn."""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from django_partisan.database.migration_state import require_migrated
from django_partisan.lifecycle.rows import database
from django_partisan.manager.claiming.notification_watch import NotificationWatch
from django_partisan.manager.claiming.queues import Queues
from django_partisan.manager.database_link import DatabaseLink
from django_partisan.manager.duties import Duty
from django_partisan.manager.duties.cancels import Cancels
from django_partisan.manager.duties.chains import Chains
from django_partisan.manager.duties.completed import Completed
from django_partisan.manager.duties.dependents import Dependents
from django_partisan.manager.duties.discovery import Discovery
from django_partisan.manager.duties.expiry import Expiring
from django_partisan.manager.duties.fencing import Fencing
from django_partisan.manager.duties.handing_out import HandingOut
from django_partisan.manager.duties.local_ttl import LocalTtl
from django_partisan.manager.duties.long_transactions import LongTransactions
from django_partisan.manager.duties.outputs import Outputs
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
from django_partisan.manager.duties.telling import Telling
from django_partisan.manager.heartbeat import Heartbeat, checked_label
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.pool.hard_limits import HardLimits
from django_partisan.manager.pool.launcher_client import launcher_options
from django_partisan.manager.pool.output import OutputPipes
from django_partisan.manager.pool.sharing import Sharing
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.manager.queue_choice import choose_queues
from django_partisan.manager.recorder import Recorder
from django_partisan.manager.round_trip import RoundTrip
from django_partisan.manager.runtimes import Runtimes
from django_partisan.manager.shutdown import Shutdown
from django_partisan.manager.standing import Standing
from django_partisan.manager.start_limit import StartLimit
from django_partisan.manager.stride import Stride
from django_partisan.manager.worker_reports import WorkerReports
from django_partisan.settings import (
    QueueSettings,
    get_process_settings,
    merge_overrides,
    settings_of,
)


class Organs:
    """Makes the parts of a manager and joins them; what they do together is the loop's."""

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
        names_tasks: bool = False,
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
        self.selector = selectors.DefaultSelector()
        self._make_organs(console, names_tasks=names_tasks)
        self._make_duties()
        self.selector.register(self.link.statement, selectors.EVENT_READ, self._take_answer)

    def _make_organs(self, console: dict[str, Any] | None, *, names_tasks: bool) -> None:
        settings, process_settings = self.settings, self.process_settings
        runtimes = Runtimes()
        stride = None
        if self.choice.is_several:
            stride = Stride(runtimes, is_strict=self.choice.is_strict)
        self.queue = LocalQueue(stride)
        """The tasks that wait here for a worker."""
        self.link = DatabaseLink(database(), self._on_connect)
        self.heartbeat = Heartbeat(self.choice.at_start(), process_settings, self.label)
        deletes = cache(lambda name: settings_of(name).DELETE_TASKS_ON_COMPLETE)
        self.recorder = Recorder(
            deletes=deletes,
            max_rescues=process_settings.MAX_RESCUES,
        )
        """The outcomes that wait to be recorded."""
        concurrency_of = cache(lambda name: settings_of(name).CONCURRENCY)
        most = max(map(concurrency_of, self.choice.at_start()), default=1)
        sharing = Sharing(concurrency_of) if most > 1 else None
        options = launcher_options(
            self.choice.title, settings, process_settings, console, most, names_tasks=names_tasks
        )
        pipes = OutputPipes(self.selector) if process_settings.CAPTURE_OUTPUT else None
        self.pool = WorkerPool(
            settings.WORKERS_COUNT, options, self.selector, runtimes, sharing, pipes
        )
        self.outputs = Outputs(self.pool, deletes)
        """What tries have printed and is still to be stored."""
        self._storing = SideDuty(self.outputs, "storing what tasks print", self.link)
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
        self.round_trip.before_recording = self._storing.turn
        self.hard_limits = HardLimits(self.pool, self.queue)
        self.start_limit = None
        if self.mode.max_tasks is not None:
            limit = self.start_limit = self.pool.start_limit = StartLimit(self.mode.max_tasks)
            pool, queue = self.pool, self.queue
            self.queues.start_room = lambda: limit.left(pool.in_hand + queue.qsize())
        self.pool.observe(
            WorkerReports(
                self.round_trip,
                self.hard_limits,
                self.link,
                stride,
                self.start_limit,
                self.outputs,
            )
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
            self._storing.turn,
            settings.SHUTDOWN_GRACE_SECONDS,
        )
        self.handing_out = HandingOut(self.queue, self.pool, standing)
        listener = self.queues.listener
        follow = self.outputs.follow
        cancels = Cancels(heartbeat, self.pool, self.hard_limits, listener, round_trip, follow)
        pauses = Pauses(heartbeat, self.queues, self.pool, self.hard_limits, round_trip)
        sweep = Sweep(heartbeat, standing, self.queues.expect)
        dependents = Dependents(self.recorder, heartbeat, standing, self.queues.expect)
        takeover = Takeover(self.choice, settings, heartbeat, standing, round_trip)
        local_ttl = LocalTtl(self.queue, self.queues, round_trip, settings.LOCAL_TTL_SECONDS)
        discovery = Discovery(self.queues, heartbeat)
        pruning = PruningOfQueues(self.queues, self._settings_of, standing)
        used_up = UsedUp(self.mode, self.start_limit, self.pool, standing, self.shutdown)
        draining = Draining(self.mode, self.queues, self.pool, round_trip, standing, self.shutdown)
        warning = LongTransactions(link, settings.LONG_TRANSACTION_SECONDS)
        self._side_duties: tuple[Duty, ...] = (
            self._storing,
            SideDuty(dependents, "telling dependent tasks", link),
            SideDuty(Rescue(heartbeat, standing, settings), "rescuing orphans", link),
            SideDuty(Siblings(heartbeat, standing, settings), "looking for dead siblings", link),
            SideDuty(discovery, "looking for queues", link),
            SideDuty(cancels, "looking for tasks to cancel", link),
            SideDuty(pauses, "looking for pauses", link),
            SideDuty(self.recorder.interims, "writing what tasks tell of themselves", link),
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
            Expiring(self.pool, self.hard_limits, round_trip),
        )
        self.telling = Telling(link, heartbeat, standing)
        self._local_duties: tuple[Duty, ...] = (
            self.pool,
            used_up,
            Tally(self.recorder, self.queue, self.pool),
            self.telling,
            *([] if self.pool.pipes is None else [self.pool.pipes.forwarder]),
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

    def _settings_of(self, queue_name: str) -> QueueSettings:
        return settings_of(queue_name, **self._overrides)

    def _take_answer(self) -> None:
        self.link.finish(time.monotonic())

    def _on_connect(self) -> None:
        require_migrated(self.link.connection)
        self.round_trip.connected()
        is_own = self.queues.listener.has_own_session
        self.link.dialect.prepare_session(self.link.connection, is_own=is_own)
