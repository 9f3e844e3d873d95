"""The manager: one loop that claims, hands out, records, beats, rescues, and stops in order."""

from __future__ import annotations

import contextlib
import logging
import selectors
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import setproctitle
from django.db import Error

from django_partisan import execution, lifecycle, notifications, orphaned_processes
from django_partisan.config.const import DEFAULT_QUEUE_NAME, ExitCode
from django_partisan.database_link import DatabaseLink
from django_partisan.execution import ClaimedTask, ErrorReport, Outcome
from django_partisan.heartbeat import Fence, Heartbeat
from django_partisan.instances import database
from django_partisan.lifecycle import Ending
from django_partisan.local_queue import LocalQueue
from django_partisan.migration_state import require_migrated
from django_partisan.models import ManagerProcess
from django_partisan.recorder import FLUSH_OUTCOMES, Recorder
from django_partisan.settings import get_process_settings, merge_overrides
from django_partisan.wakeup import Wakeup
from django_partisan.worker_handle import WorkerHandle
from django_partisan.worker_pool import WorkerPool

logger = logging.getLogger(__name__)

_LONGEST_WAIT: Final = 5.0
_LAST_WORDS_SECONDS: Final = 4.0
"""After the grace period: how long the last outcomes may take to be recorded."""


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
        self.queue = LocalQueue()
        self.recorder = Recorder(
            delete_finished=self.settings.DELETE_TASKS_ON_COMPLETE,
            max_rescues=self.process_settings.MAX_RESCUES,
        )
        self.selector = selectors.DefaultSelector()
        self.link = DatabaseLink(database(), self._on_connect)
        self.heartbeat = Heartbeat(queue_name, self.process_settings)
        self.wakeup = Wakeup(
            self.link, queue_name, self.settings.SLEEP_DELAY_SECONDS, self.process_settings.NOTIFY
        )
        self.pool = WorkerPool(
            self.settings.WORKERS_COUNT, self._launcher_options(console), self.selector, self
        )
        self._claim_cap = self.settings.MAX_QUEUE_SIZE
        self._has_more = True
        self._signals = 0
        self._stop_by: float | None = None
        self._exit_code: ExitCode | None = None
        self._database_fd: int | None = None
        self._rebalance_at: float | None = None

    # ----- life -----

    def run_partisan(self) -> ExitCode:
        """Serve the queue until SIGTERM or SIGINT, and return the exit code.

        Raises WorkerBootError, NotMigrated or ManagerAlreadyRunning when it cannot begin.
        """
        setproctitle.setproctitle(f"partisan/parent {self.queue_name}")
        orphaned_processes.adopt()
        try:
            with self._signal_handling():
                self.turn(time.monotonic())
                while self._exit_code is None:
                    self.wait()
                    self.turn(time.monotonic())
        finally:
            self._close()
        logger.info("stopped (%s); %s", self._exit_code.name.lower(), self._summary())
        return self._exit_code

    def stop(self) -> None:
        """Ask for a graceful stop; called again, for one at once."""
        self._signals += 1

    def turn(self, now: float) -> None:
        """Do everything that is due, once. Never waits for anything but the database."""
        self.pool.maintain(now)
        self._keep_fence()
        if self._signals and self._stop_by is None:
            self._begin_stop(now)
        if self.link.is_usable(now):
            with self.link.attempt(now):
                self._keep_standing(now)
                self._exchange(now)
        self._hand_out(now)
        if self._stop_by is not None:
            self._go_on_stopping(now)

    def wait(self) -> None:
        """Wait for the next event or deadline, and take the events in."""
        timeout = max(0.0, min(self._deadlines()) - time.monotonic())
        self._watch_database()
        for key, _ in self.selector.select(timeout):
            key.data()

    # ----- what the pool tells -----

    def ended(self, handle: WorkerHandle, task: ClaimedTask, outcome: Outcome) -> None:
        """Take note of a worker's report."""
        now = time.monotonic()
        self.recorder.add(self._ending(task, outcome, handle.pid), now)
        if outcome.delay_seconds is not None:
            self.wakeup.expect(now + outcome.delay_seconds)
        elif outcome.due_at is not None:
            self.wakeup.expect(now + outcome.due_at - time.time())

    def died(self, handle: WorkerHandle, unstarted: list[ClaimedTask], reason: str) -> None:
        """Take note of a worker's death: only the task that it ran is charged."""
        self.queue.put_first(unstarted)
        for item in handle.in_hand:
            self._charge(item.task, handle, reason)
        if not handle.is_stopping and not handle.doom:
            logger.warning("%s; starting another", reason)

    def may_start(self, task: ClaimedTask) -> bool:
        """Write that a formerly rescued task starts now, so that a peer can prove it too."""
        now, started = time.monotonic(), None
        if self.link.is_usable(now):
            with self.link.attempt(now):
                started = lifecycle.mark_started([task])
        if started is None:
            self.queue.put_first([task])
        elif not started:
            logger.warning("task %d is not ours any more; it is not run", task.id)
        return bool(started)

    def _charge(self, task: ClaimedTask, handle: WorkerHandle, reason: str) -> None:
        kind = execution.RELEASED if handle.doom else execution.CRASHED
        error = ErrorReport("WorkerDied", f"{reason} while it ran the task", "")
        outcome = lifecycle.orphan_outcome(task, kind, error)
        now = time.monotonic()
        self.recorder.add(self._ending(task, outcome, handle.pid), now)
        self.wakeup.expect(now)

    def _ending(self, task: ClaimedTask, outcome: Outcome, pid: int | None = None) -> Ending:
        node = self.heartbeat.identity.node_name
        return Ending(task=task, outcome=outcome, worker_pid=pid, node_name=node)

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
            state = ManagerProcess.State.STOPPING if self._stop_by else ManagerProcess.State.RUNNING
            if not self.heartbeat.beat(state, self._snapshot()):
                logger.error("this manager's registration is gone: stopping what runs")
                self._abandon()
                self._register()
        if self._stop_by is None:
            self.heartbeat.rescue_if_due(now)

    def _register(self) -> None:
        self.heartbeat.register()
        logger.info(
            "manager %d on %s serves queue %r with %d workers (%s, %s)",
            self.heartbeat.manager_id,
            self.heartbeat.identity.node_name,
            self.queue_name,
            self.settings.WORKERS_COUNT,
            self.link.connection.display_name,
            self.wakeup.mode,
        )

    def _on_connect(self) -> None:
        require_migrated(self.link.connection)
        self.wakeup.connect()
        self.link.dialect.prepare_session(self.link.connection, is_own=self.wakeup.has_own_session)
        self._has_more = True
        if self.heartbeat.manager_id is not None:
            self._adopt_strays()

    def _adopt_strays(self) -> None:
        """Take in tasks of a claim whose answer was lost with the connection."""
        held = self.queue.ids() | self.pool.held_ids() | self.recorder.ids()
        strays = lifecycle.strays(self.heartbeat.manager_id, held)
        self.queue.put_first(strays)

    # ----- exchange with the database -----

    def _exchange(self, now: float) -> None:
        self.wakeup.check(now)
        limit = self._claim_limit(now)
        if self.recorder.is_due(now, self._batch(), is_idle=self._is_idle()) or (
            limit and len(self.recorder)
        ):
            limit = self._record_and_claim(now, limit)
        if limit:
            self._took(lifecycle.claim(self.queue_name, limit, self._manager_id), limit, now)
        self._release_old(now)

    def _record_and_claim(self, now: float, limit: int) -> int:
        """Record what is pending, with a claim where that can be; return what is left to claim."""
        try:
            if limit and self.recorder.is_plain:
                claimed = self.recorder.flush_and_claim(
                    now, self.queue_name, limit, self._manager_id
                )
                self._took(claimed, limit, now)
                return 0
            self.recorder.flush(now)
        except Error:
            if not self.link.connection.is_usable():
                raise
            self.recorder.flush_singly(now)
        return limit

    def _took(self, claimed: list[ClaimedTask], limit: int, now: float) -> None:
        if self.queue.qsize() == 0 and len(claimed) == limit:
            self._claim_cap = min(self.settings.MAX_QUEUE_SIZE, 2 * self._claim_cap)
        self.queue.put(claimed, now)
        self._has_more = len(claimed) == limit
        if self.wakeup.claimed(now, found_all=not self._has_more):
            due_in = self.link.dialect.next_due_in(self.link.connection, self.queue_name)
            if due_in is not None:
                self.wakeup.expect(now + due_in)

    def _claim_limit(self, now: float) -> int:
        """Return how many tasks to claim now: none above MIN, else up to MAX."""
        room = self._room()
        if not room or not (self._has_more or self.wakeup.is_claim_due(now)):
            return 0
        if not self.heartbeat.predecessors:
            return room
        # Unfinished tasks of a crashed predecessor go before all others; but first of all what
        # this process itself still knows of them.
        if not len(self.recorder):
            self.queue.put_first(self.heartbeat.take_over(room))
        return 0

    def _room(self) -> int:
        """Return how many tasks the local queue may be filled with now."""
        if not self.pool.is_booted or not self._may_begin_work():
            return 0
        held = self.queue.qsize() + max(0, self.pool.in_hand - self.settings.WORKERS_COUNT)
        cap = min(self._claim_cap, self.settings.MAX_QUEUE_SIZE)
        return max(0, cap - held) if held <= self.settings.MIN_QUEUE_SIZE else 0

    def _may_begin_work(self) -> bool:
        return self._stop_by is None and self.heartbeat.fence() is Fence.OPEN

    def _batch(self) -> int:
        """Return how many outcomes make a statement of their own worth it."""
        refill = self.settings.MAX_QUEUE_SIZE - self.settings.MIN_QUEUE_SIZE
        return max(FLUSH_OUTCOMES, refill) if self._has_more else FLUSH_OUTCOMES

    def _is_idle(self) -> bool:
        return self.queue.qsize() == 0 and self.pool.in_hand == 0

    def _release_old(self, now: float) -> None:
        """Give back what has waited here too long: an idle peer could run it now."""
        old = self.queue.take_older_than(now - self.process_settings.LOCAL_TTL_SECONDS)
        if old:
            self._claim_cap = max(1, self.settings.WORKERS_COUNT)
            self._release(old, now)
            self.recorder.flush(now)
            notifications.announce(self.link.alias, self.queue_name)

    def _release(self, tasks: list[ClaimedTask], now: float) -> None:
        for task in tasks:
            outcome = lifecycle.orphan_outcome(task, execution.RELEASED, None)
            self.recorder.add(self._ending(task, outcome), now)

    @property
    def _manager_id(self) -> int:
        assert self.heartbeat.manager_id is not None
        return self.heartbeat.manager_id

    # ----- handing out -----

    def _hand_out(self, now: float) -> None:
        self._rebalance_at = None
        if self.link.is_up and self._may_begin_work():
            self.pool.hand_out(self.queue, now)
            self._rebalance_at = self.pool.rebalance(self.queue, now)

    # ----- stopping -----

    def _begin_stop(self, now: float) -> None:
        """Give back what has not started, let the rest run on for the grace period."""
        grace = self.process_settings.SHUTDOWN_GRACE_SECONDS
        logger.info("stopping: running tasks have %g s to finish", grace)
        self._stop_by = now + grace
        self._release(self.queue.take_all() + self.pool.take_back(), now)
        self.pool.stop()
        if self.link.is_usable(now):
            with self.link.attempt(now):
                self.recorder.flush(now)
                notifications.announce(self.link.alias, self.queue_name)

    def _go_on_stopping(self, now: float) -> None:
        assert self._stop_by is not None
        is_forced = self._signals > 1
        if (is_forced or now >= self._stop_by) and self.pool.workers:
            logger.warning("killing %d workers; their tasks are released", len(self.pool.workers))
            self.pool.kill("the manager stops")
            self._release(self.queue.take_all(), now)
        if self.pool.workers:
            return
        self._say_goodbye(now)
        is_settled = not len(self.recorder)
        if is_settled and (self.link.is_up or self.heartbeat.manager_id is None):
            self._exit_code = ExitCode.FORCED if is_forced else ExitCode.CLEAN
        elif now >= self._stop_by + _LAST_WORDS_SECONDS or is_forced:
            logger.error("%d outcomes could not be recorded", len(self.recorder))
            self._exit_code = ExitCode.ERROR

    def _say_goodbye(self, now: float) -> None:
        if self.link.is_usable(now):
            with self.link.attempt(now):
                self.recorder.flush(now)
                self.heartbeat.deregister()

    # ----- waiting -----

    def _deadlines(self) -> Iterator[float]:
        now = time.monotonic()
        yield now + _LONGEST_WAIT
        retry_at = self.link.retry_at()
        if retry_at is not None:
            yield retry_at
        elif self.pool.is_booted:
            yield from self._database_deadlines(now)
        for deadline in (self.pool.next_deadline(), self._rebalance_at, self._stop_by):
            if deadline is not None:
                yield deadline if deadline > now else now + 0.01
        if self.heartbeat.manager_id is not None:
            yield self.heartbeat.fence_at()
        if self._signals and self._stop_by is None:
            yield now

    def _database_deadlines(self, now: float) -> Iterator[float]:
        yield self.heartbeat.next_deadline()
        flush_at = self.recorder.next_deadline()
        if flush_at is not None:
            yield flush_at if not self._is_idle() else now
        if self._room():
            yield now if self._has_more else self.wakeup.next_deadline()
        if self._may_begin_work() and self.queue.qsize() and self.pool.has_idle:
            yield now

    def _watch_database(self) -> None:
        """Wait on the connection too, so that a notification wakes the loop."""
        fd = self.wakeup.file_descriptor() if self.link.is_up else None
        if fd == self._database_fd:
            return
        if self._database_fd is not None:
            with contextlib.suppress(KeyError, ValueError, OSError):
                self.selector.unregister(self._database_fd)
        if fd is not None:
            self.selector.register(fd, selectors.EVENT_READ, lambda: None)
        self._database_fd = fd

    @contextlib.contextmanager
    def _signal_handling(self) -> Iterator[None]:
        """Have SIGTERM and SIGINT noted, and the loop woken by them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        self.selector.register(wake, selectors.EVENT_READ, lambda: wake.recv(4096))
        former_fd = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        former = {n: signal.signal(n, self._note_signal) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_fd)
            self.selector.unregister(wake)
            wake.close()
            woken.close()

    def _note_signal(self, number: int, frame: Any) -> None:  # noqa: ARG002
        self.stop()

    def _close(self) -> None:
        self.pool.close()
        self.link.close()
        self.selector.close()

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
