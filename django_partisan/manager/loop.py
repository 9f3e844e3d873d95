"""The manager's loop: one turn that does what is due, and one wait, again and again."""

from __future__ import annotations

import contextlib
import gc
import logging
import selectors
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import setproctitle

from django_partisan.config.const import ExitCode
from django_partisan.logs import say
from django_partisan.manager.code_watch import watching_code
from django_partisan.manager.organs import Organs
from django_partisan.manager.pool import reaping
from django_partisan.manager.stop_signals import STOP_SIGNALS, noted_signals

logger = logging.getLogger(__name__)
_SHORTEST_WAIT: Final = 0.01
"""What is overdue and could not be done is tried again after so long, not at once."""
_LONGEST_WAIT: Final = 5.0
_REPORT_SECONDS: Final = 0.01
"""How long reports may gather while every worker has enough to do: each wake-up costs CPU."""


class WorkersManager(Organs):
    """Serves queues with a pool of worker processes until a signal ends it.

    ``queue_name`` is one name or several, in their order; "*" stands for all queues but those of
    ``exclude_queue``, also for those that come later. ``strict_order`` has a queue wait while one
    before it has tasks; otherwise they share the workers' time by WEIGHT.

    ``mode`` has it end by itself. ``label`` is a name for people. ``serves_schedules`` says whether
    it enqueues what is scheduled.

    ``names_tasks`` has each line that a task prints shown with the task's id.

    Every other argument overrides the setting of the same name, of each queue. Raises
    ConfigurationError when settings or arguments are wrong.
    """

    _has_new_code = False

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
        with self.selector, noted as signals, code, self.telling.keeping():
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
            self.telling.end(exit_code)
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
