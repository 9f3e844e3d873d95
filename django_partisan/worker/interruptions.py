"""The interruption of tasks that run beside each other, and the watch over their event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from django_partisan.attempt import ClaimedTask
from django_partisan.execution import Processor
from django_partisan.logs import extra_of
from django_partisan.worker.attempts import Attempt, CoroutineAttempt, ThreadAttempt
from django_partisan.worker.interruption import REPEAT_SECONDS, SIGNAL, Interruption

logger = logging.getLogger(__name__)
LAG_SECONDS: Final = 1.0
"""A task that keeps the event loop from running for longer is named in the log."""
_LOOK_SECONDS: Final = 0.25
_MOST_EARLY: Final = 1000
_frames: Final = vars(sys)["_current_frames"]


class Interruptions(Interruption):
    """Interrupts each of several attempts by itself; a task that runs alone as ever.

    A coroutine is interrupted in the thread of the event loop, by the same signal; a task in a
    thread by an exception that Python raises there. ``blocked`` is told which task keeps the event
    loop from running, 0 when none does any more.
    """

    def __init__(
        self,
        requests: int,
        limited: Callable[[float, float, float, int], None],
        blocked: Callable[[int], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(requests, limited)
        self._blocked = blocked
        self._loop = loop
        self._attempts: dict[tuple[int, int], Attempt] = {}
        self._early: dict[tuple[int, int], None] = {}
        self._due: deque[CoroutineAttempt] = deque()
        self._is_parked = True
        self._asked_at: float | None = None
        self._is_told = False

    # ----- in the threads of the tasks -----

    def add(self, attempt: Attempt) -> None:
        """Watch over an attempt, from before its start."""
        self._attempts[attempt.key] = attempt
        if self._is_parked:
            self._is_parked = False
            os.write(self._woken, b"!")

    def began(self, attempt: Attempt, processor: Processor) -> None:
        """Interrupt an attempt from now on; its limit counts from here."""
        limit = processor.TIMEOUT_SECONDS
        if limit is not None:
            started = time.monotonic()
            self._limited(started, limit, processor.GRACE_SECONDS, attempt.task.id)
            attempt.limit, attempt.deadline = limit, started + limit
        if attempt.key in self._early:
            attempt.is_cancelled = True
            attempt.interrupt()
        attempt.has_begun = True
        if attempt.deadline < self._wakes_at or attempt.is_cancelled:
            os.write(self._woken, b"!")

    def of(self, task: ClaimedTask) -> Attempt | None:
        """Return the attempt at a task that goes on, None where there is none."""
        return self._attempts.get(task[:2])

    def remove(self, attempt: Attempt) -> None:
        """Watch over an attempt no longer."""
        self._attempts.pop(attempt.key, None)

    # ----- the handler -----

    def _interrupt(self, *_: Any) -> None:
        super()._interrupt()
        running = None
        while self._due:
            attempt = self._due.popleft()
            if attempt.is_stepping:
                running = attempt
            else:
                attempt.interrupt()
        if running is not None:
            self.has_interrupted = True  # In the middle of whatever it was doing.
            running.interrupt()

    # ----- in the thread -----

    def _ask(self, request: tuple[int, int]) -> None:
        super()._ask(request)
        self._early[request] = None
        if len(self._early) > _MOST_EARLY:
            self._early.pop(next(iter(self._early)))
        if (attempt := self._attempts.get(request)) is not None:
            attempt.is_cancelled = True

    def _interrupt_if_due(self) -> float | None:
        alone = super()._interrupt_if_due()
        if not self._attempts:
            self._asked_at = None
            self._is_parked = True
            # Whoever adds one writes first and reads then.
            if not self._attempts:
                return alone
            self._is_parked = False
        now = time.monotonic()
        for attempt in list(self._attempts.values()):
            if attempt.has_begun and attempt.is_due(now):
                self._stop(attempt)
        if self._due:
            signal.pthread_kill(self._main, SIGNAL)
        self._look_at_loop(now)
        seconds = min((a.deadline for a in self._waiting()), default=now + 1) - now
        seconds = max(0.0, min(REPEAT_SECONDS if self._due else _LOOK_SECONDS, seconds))
        self._wakes_at = min(self._wakes_at, now + seconds)
        return seconds if alone is None else min(alone, seconds)

    def _waiting(self) -> list[Attempt]:
        attempts = list(self._attempts.values())
        return [each for each in attempts if each.has_begun and not each.is_interrupted]

    def _stop(self, attempt: Attempt) -> None:
        if isinstance(attempt, CoroutineAttempt):
            if attempt not in self._due:
                self._due.append(attempt)
        elif isinstance(attempt, ThreadAttempt):
            attempt.interrupt()
            self.has_interrupted = True

    def _look_at_loop(self, now: float) -> None:
        """Ask the event loop for a sign of life, and tell who keeps it from giving one."""
        if self._asked_at is None:
            self._asked_at = now
            self._loop.call_soon_threadsafe(self._answer)
        elif now - self._asked_at > LAG_SECONDS and not self._is_told and self._running is None:
            self._is_told = True
            culprit = self._culprit()
            self._tell(culprit, now - self._asked_at)
            if culprit is not None:
                self._blocked(culprit.task.id)

    def _answer(self) -> None:
        self._asked_at = None
        if self._is_told:
            self._is_told = False
            self._blocked(0)

    def _culprit(self) -> Attempt | None:
        now_running = asyncio.current_task(self._loop)
        for attempt in list(self._attempts.values()):
            if isinstance(attempt, CoroutineAttempt) and (
                attempt.is_stepping or now_running in attempt.children
            ):
                return attempt
        return None

    def _tell(self, culprit: Attempt | None, seconds: float) -> None:
        frame = _frames().get(self._main)
        stack = "" if frame is None else "".join(traceback.format_stack(frame)[-10:])
        who, extra = "something", {}
        if culprit is not None:
            who = f"task {culprit.task.id} ({culprit.task.processor_class})"
            extra = extra_of(culprit.task)
        logger.warning(
            "%s has kept the event loop of worker %d from running for %.1f s, and with it %d other"
            " tasks: what blocks belongs into a thread (sync_to_async, asyncio.to_thread). It is"
            " here:\n%s",
            who,
            os.getpid(),
            seconds,
            max(0, len(self._attempts) - 1),
            stack,
            extra=extra,
        )
