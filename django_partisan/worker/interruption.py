"""The interruption of a running task: an exception raised inside of it, and never outside."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from django_partisan.attempt import ClaimedTask
from django_partisan.exceptions import TaskCancelled, TaskTimedOut
from django_partisan.execution import Processor
from django_partisan.wire.messages import MAX_CANCEL_BYTES, cancels_in, give_backs_in
from django_partisan.worker.coroutines import Interruptible, run_to_end
from django_partisan.worker.signals import plain_signals

SIGNAL: Final = signal.SIGURG
"""Where a task has removed its handler, nothing happens; any other signal would end the worker."""
REPEAT_SECONDS: Final = 0.1
_LONGEST_WAIT: Final = 3600.0
_NEVER: Final = float("inf")


class Running:
    """The task that may be interrupted now."""

    __slots__ = ("coroutine", "deadline", "is_cancelled", "limit", "task")

    def __init__(self, task: ClaimedTask, limit: float = 0.0, deadline: float = _NEVER) -> None:
        self.task = task
        self.limit = limit
        self.deadline = deadline
        self.is_cancelled = False
        self.coroutine: Interruptible | None = None

    def is_due(self, now: float) -> bool:
        """Say whether it is time to interrupt the task."""
        return self.is_cancelled or now >= self.deadline

    def error(self) -> TaskCancelled | TaskTimedOut:
        """Return what to raise."""
        return TaskCancelled() if self.is_cancelled else TaskTimedOut(self.limit)


class Interruption:
    """Runs tasks in the main thread, beside a thread that interrupts them.

    The thread sends the main thread a signal, which also ends a system call that waits; the
    handler then raises. It does so only between the two assignments of ``_running``, and takes the
    task out itself, so that nothing is raised twice or outside of the task.

    ``requests`` is the end of a pipe that carries what the manager wants to be stopped. ``limited``
    is told of each task with a time limit before it starts: when, its limit and its grace, in
    seconds of the monotonic clock, and which task it is.
    """

    def __init__(self, requests: int, limited: Callable[[float, float, float, int], None]) -> None:
        self.has_interrupted = False
        self.wanted_back: set[tuple[int, int]] = set()
        """Ids and leases of the tasks that the manager would have back, between two steps."""
        self._requests = requests
        self._limited = limited
        self._running: Running | None = None
        self._requested: tuple[int, int] | None = None
        self._wakes_at = _NEVER
        self._main = threading.get_ident()
        self._wake, self._woken = os.pipe()
        # One object, to be recognised: each access to a method makes a new one.
        self._handler = self._interrupt

    def start(self) -> None:
        """Begin to watch; to be called in the main thread of a worker process."""
        self.refresh()
        threading.Thread(target=self._watch, daemon=True, name="interruption").start()

    def close(self) -> None:
        """End the thread."""
        os.close(self._woken)

    def refresh(self) -> None:
        """Put the handler back where a task has taken it away; not cheap enough for every task."""
        if plain_signals.getsignal(SIGNAL) is not self._handler:
            signal.signal(SIGNAL, self._handler)
        plain_signals.pthread_sigmask(signal.SIG_UNBLOCK, (SIGNAL,))

    def run(self, task: ClaimedTask, processor: Processor) -> Any:
        """Run a task that may be interrupted; its limit counts from here.

        Whatever a cancelled task raises in the end, it is TaskCancelled.
        """
        limit = processor.TIMEOUT_SECONDS
        running = (
            Running(task) if limit is None else self._limit(task, limit, processor.GRACE_SECONDS)
        )
        try:
            # The thread and this one each write before they read, so one of them sees the other.
            self._running = running
            if self._requested is not None or limit is not None:
                self._alert(running)
            if processor.runs_async:
                running.coroutine = Interruptible(processor.run())
                return run_to_end(running.coroutine)
            return processor.run()
        except Exception as error:
            if running.is_cancelled and self.has_interrupted:
                raise TaskCancelled from error
            raise
        finally:
            self._running = None

    def _limit(self, task: ClaimedTask, limit: float, grace: float) -> Running:
        self.refresh()
        started = time.monotonic()
        self._limited(started, limit, grace, task.id)
        return Running(task, limit, started + limit)

    def _alert(self, running: Running) -> None:
        """Take in a request that came before the task, and wake the thread for a limit."""
        if self._requested == running.task[:2]:
            running.is_cancelled = True
            self._interrupt()
        if running.deadline < self._wakes_at:
            os.write(self._woken, b"!")

    def _interrupt(self, *_: Any) -> None:
        running = self._running
        if running is None or not running.is_due(time.monotonic()):
            return
        self._running = None
        self.has_interrupted = True
        if running.coroutine is not None:
            running.coroutine.interrupt(running.error())
            return
        raise running.error()

    # ----- in the thread -----

    def _watch(self) -> None:
        events = select.poll()
        for fd in (self._wake, self._requests):
            events.register(fd, select.POLLIN)
        while True:
            seconds = self._interrupt_if_due()
            for fd, _ in events.poll(None if seconds is None else seconds * 1000):
                if fd == self._requests:
                    if not self._take_requests():
                        events.unregister(fd)
                elif not os.read(fd, 4096):
                    os.close(fd)
                    return

    def _take_requests(self) -> bool:
        """Take in what should be stopped; False once there will be nothing more."""
        try:
            data = os.read(self._requests, MAX_CANCEL_BYTES)
        except OSError:
            data = b""
        self.wanted_back.update(give_backs_in(data))
        for request in cancels_in(data):
            self._ask(request)
        return bool(data)

    def _ask(self, request: tuple[int, int]) -> None:
        self._requested = request
        running = self._running
        if running is not None and running.task[:2] == request:
            running.is_cancelled = True

    def _interrupt_if_due(self) -> float | None:
        """Interrupt the task if it is time to, and return when to look again."""
        self._wakes_at = _NEVER
        running, now = self._running, time.monotonic()
        if running is None:
            return None
        if running.is_due(now):
            # Again and again: a signal just before a system call does not end its wait.
            signal.pthread_kill(self._main, SIGNAL)
            seconds = REPEAT_SECONDS
        elif running.deadline == _NEVER:
            return None
        else:
            seconds = min(_LONGEST_WAIT, running.deadline - now)
        self._wakes_at = now + seconds
        return seconds
