"""One worker as the manager sees it: its pipe, its process, and the tasks it has in hand."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from django_partisan.attempt import ClaimedTask, Interim, Outcome
from django_partisan.exceptions import TaskCancelled
from django_partisan.manager.pool.in_hand import HardLimit, InHand, hard_limit_of, killed_after
from django_partisan.manager.pool.launcher_client import LauncherClient
from django_partisan.manager.pool.output import WorkerOutput
from django_partisan.manager.runtimes import CHUNK_SECONDS
from django_partisan.wire.channel import Channel, GarbledError
from django_partisan.wire.messages import (
    Blocked,
    Chunk,
    Limited,
    Line,
    Report,
    Retired,
    Shared,
    Stop,
    cancel_message,
    give_back_message,
    message_of,
    report_in,
)

logger = logging.getLogger(__name__)
_TOLD: Final = 100
"""Tasks of one worker that the manager's row shows at most."""


class WorkerHandle:
    """The manager's end of one worker process.

    Beside the channel there is a pipe of tokens, one byte for each task in hand that has not been
    started. Whoever reads a byte has the task: the worker to run it, or the manager to take it
    back. So no task is ever run by one worker while it is handed to another. A second pipe carries
    requests to stop a task that runs.
    """

    def __init__(
        self,
        number: int,
        now: float,
        launcher: LauncherClient,
        make_output: Callable[[], WorkerOutput] | None = None,
    ) -> None:
        self.number = number
        self.launcher = launcher
        self.pid: int | None = None
        self.pidfd: int | None = None
        self.started_at = now
        self.changed_at = now
        self.in_hand: deque[InHand] = deque()
        self.backlog_seconds = 0.0
        self.is_exclusive = False
        self.is_stopping = False
        self.is_gone = False
        self.kill_reason = ""
        self.hard_limits: dict[int, HardLimit] = {}
        self.is_over_limit = False
        self.told: list[Interim] = []
        self.killed_at = 0.0
        self.places = 1
        self.has_begun_all = False
        self.blocked_by = 0
        self.drained_by: float | None = None
        self._next_chunk = 0
        with contextlib.ExitStack() as unless_complete:
            ours, self.theirs = socket.socketpair()
            unless_complete.callback(ours.close)
            unless_complete.callback(self.theirs.close)
            self.channel = Channel(ours)
            self.tokens, self._token_writer = _pipe(unless_complete)
            self._requests, self._request_writer = _pipe(unless_complete)
            self.output = None if make_output is None else make_output()
            """What its tasks print; None where that is not captured."""
            unless_complete.pop_all()
        os.set_blocking(self.tokens, False)
        os.set_blocking(self._request_writer, False)

    @property
    def accepts(self) -> bool:
        """Whether the worker may be handed tasks."""
        is_ending = self.is_stopping or self.is_gone or self.is_killed
        return not (is_ending or self.is_cancelling or self.drained_by is not None)

    @property
    def is_sharing(self) -> bool:
        """Whether what it was handed last runs beside each other."""
        return self.places > 1

    @property
    def is_crowded(self) -> bool:
        """Whether something that it was handed may not have started."""
        return len(self.in_hand) > 1 and not self.has_begun_all

    @property
    def has_enough(self) -> bool:
        """Whether what it has in hand takes longer than half a chunk, as far as one can tell."""
        return self.backlog_seconds > CHUNK_SECONDS / 2

    @property
    def is_killed(self) -> bool:
        """Whether the manager itself has ended the worker."""
        return bool(self.kill_reason) or self.is_over_limit

    @property
    def is_cancelling(self) -> bool:
        """Whether the task that it runs alone has been asked to stop."""
        return self.hard_limits != {} and self.places == 1 and self.is_cancelled(self.running)

    def is_cancelled(self, task: ClaimedTask | None) -> bool:
        """Say whether a task in hand has been asked to stop."""
        limit = None if task is None else self.hard_limits.get(task.id)
        return limit is not None and isinstance(limit.error, TaskCancelled)

    @property
    def kill_at(self) -> float | None:
        """When the first of its tasks is over its hard limit; None where none has one."""
        return min((limit.kill_at for limit in self.hard_limits.values()), default=None)

    @property
    def descriptors(self) -> list[int]:
        """What the worker process is given: channel, tokens, the requests to it, its output."""
        output = [] if self.output is None else self.output.descriptors
        return [self.theirs.fileno(), self.tokens, self._requests, *output]

    @property
    def running(self) -> ClaimedTask | None:
        """The task that was started and not reported, as far as the manager knows."""
        return self.in_hand[0].task if self.in_hand else None

    def hand_out(
        self, chunk: Sequence[tuple[ClaimedTask, float | None]], now: float, places: int = 1
    ) -> None:
        """Give tasks, each with its expected seconds.

        With ``places`` above 1, so many of them run beside each other. Otherwise they run one after
        another, and None for seconds makes the worker take no others.
        """
        self.places = places
        self.has_begun_all = False
        number = self._next_chunk
        self._next_chunk = (number + 1) % 256
        # Tokens first: a worker that finds a task without one takes it as taken back.
        os.write(self._token_writer, bytes([number]) * len(chunk))
        tasks = [task for task, _ in chunk]
        order = Chunk(number, tasks) if places == 1 else Shared(number, tasks, places)
        self.channel.send(message_of(order))
        if not self.in_hand:
            self.changed_at = now
        for task, seconds in chunk:
            self.in_hand.append(InHand(task, number, seconds, since=now))
            self.backlog_seconds += seconds or 0.0
            self.is_exclusive = self.is_exclusive or (places == 1 and seconds is None)

    def take_back(self) -> list[ClaimedTask]:
        """Take back every task that has not been started, in order."""
        left = Counter(self._read_tokens())
        if not left:
            self.has_begun_all = self.places > 1
            return []
        taken: deque[InHand] = deque()
        for item in reversed(self.in_hand):
            if left[item.chunk] > 0:
                left[item.chunk] -= 1
                taken.appendleft(item)
        gone = {id(item) for item in taken}
        self.in_hand = deque(item for item in self.in_hand if id(item) not in gone)
        self._weigh()
        return [item.task for item in taken]

    def receive(self, now: float) -> list[tuple[ClaimedTask, Outcome]]:
        """Return the outcomes that have arrived, and note when the worker retires or is gone.

        What it tells of tasks that go on is left in ``told``.
        """
        messages, is_gone = self.channel.receive_all()
        outcomes = []
        for message in messages:
            match self._understood(message):
                case Outcome() as outcome:
                    outcomes.append((self._done(outcome), outcome))
                    if self.hard_limits:
                        self._forget_limit(outcome.task_id, now)
                case None:
                    logger.error("worker %s says what no worker says; it is replaced", self.pid)
                    is_gone = True
                    break
                case report:
                    self._note(report)
        self.is_gone = self.is_gone or is_gone
        if outcomes:
            self.changed_at = now
            if not self.in_hand:
                self._weigh()
        if self.output is not None and (outcomes or is_gone):
            self.output.catch_up(is_last=is_gone)  # The border of what has ended stands in there.
        return outcomes

    def stop(self) -> None:
        """Let the worker end after what it has started."""
        if not self.is_stopping:
            self.is_stopping = True
            self.channel.send(message_of(Stop()))

    def kill(self, reason: str) -> None:
        """End the worker now; ``reason`` says why, and that its task is not to blame."""
        self.kill_reason = self.kill_reason or reason
        self.send_kill()

    def cancel(self, task: ClaimedTask, grace: float, now: float) -> None:
        """Ask the task that runs to stop; it has its grace, or what is left of its own limit."""
        limit = self.hard_limits.get(task.id)
        kill_at = now + grace if limit is None else min(limit.kill_at, now + grace)
        started = None if limit is None else limit.started
        error = TaskCancelled(killed=killed_after(grace))
        self.hard_limits[task.id] = HardLimit(kill_at, error, started, grace)
        # A full pipe or a dead reader: the worker is killed soon.
        with contextlib.suppress(OSError):
            os.write(self._request_writer, cancel_message(task.id, task.lease))

    def ask_back(self, is_wanted: Callable[[ClaimedTask], bool]) -> None:
        """Ask that tasks be given back which run, and can be stopped between two steps."""
        for item in self.in_hand:
            if not item.is_asked_back and is_wanted(item.task):
                item.is_asked_back = True
                # A full pipe or a dead reader: then the task goes on, as most do.
                with contextlib.suppress(OSError):
                    os.write(self._request_writer, give_back_message(item.task.id, item.task.lease))

    def kill_over_limit(self, now: float) -> None:
        """End the worker now because its task does not stop."""
        self.is_over_limit = True
        self.killed_at = now
        self.send_kill()

    def send_kill(self) -> None:
        """Send SIGKILL, to exactly this process where the system can."""
        try:
            if self.pidfd is not None:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            elif self.pid is not None:
                os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def wait_until_dead(self, seconds: float) -> bool:
        """Wait a moment for the process to have ended: its channel closes a little earlier.

        Returns False when it certainly has not.
        """
        if self.pidfd is None:
            return True
        ended = select.poll()
        ended.register(self.pidfd, select.POLLIN)
        return bool(ended.poll(max(0.0, seconds) * 1000))

    def close_theirs(self) -> None:
        """Close what only the worker's process needs, once it has it."""
        self.theirs.close()
        if self.output is not None:
            self.output.close_theirs()
        if self._requests >= 0:
            os.close(self._requests)
            self._requests = -1

    def close(self) -> None:
        """Close every descriptor."""
        self.channel.close()
        self.close_theirs()
        if self.output is not None:
            self.output.close()
        for fd in (self.tokens, self._token_writer, self._request_writer, self.pidfd):
            if fd is not None:
                os.close(fd)
        self.pidfd = None

    def snapshot(self, now: float) -> dict[str, Any]:
        """Return what the worker does right now, as the manager's row shows it."""
        told: dict[str, Any] = {"worker": self.number, "pid": self.pid}
        if (task := self.running) is not None:
            told |= {"task": task.id, "lease": task.lease, "processor": task.processor_class}
            told["seconds"] = round(now - self.changed_at, 3)
            if self.places > 1:
                told["seconds"] = round(now - self.in_hand[0].since, 3)
                told["beside"] = [item.told(now) for item in list(self.in_hand)[1:_TOLD]]
        return told

    def describe(self, now: float) -> str:
        """Say in a sentence what the worker does right now."""
        name, task = f"worker {self.number} (process {self.pid})", self.running
        if task is None:
            return f"{name} is {'starting' if self.pid is None else 'idle'}"
        since = self.in_hand[0].since if self.places > 1 else self.changed_at
        seconds, others = now - since, len(self.in_hand) - 1
        doing = f"has run task {task.id} ({task.processor_class}) for {seconds:.1f} s"
        return f"{name} {doing}; {others} more in hand"

    def _read_tokens(self) -> bytes:
        try:
            return os.read(self.tokens, 65536)
        except BlockingIOError:
            return b""

    def _understood(self, message: Any) -> Report | None:
        """Return what the worker says; None where it is no report, or one on no running task."""
        try:
            report = report_in(message)
        except GarbledError:
            return None
        return report if not isinstance(report, Outcome) or self._is_awaited(report) else None

    def _note(self, report: Limited | Blocked | Line | Retired | Interim) -> None:
        match report:
            case Limited(task_id=task_id):
                if any(item.task.id == task_id for item in self.in_hand):
                    self.hard_limits.setdefault(task_id, hard_limit_of(report))
            case Blocked(task_id):
                self.blocked_by = task_id
            case Line():
                self._take_line(report)
            case Retired():
                self.is_stopping = True
            case Interim():
                # A thread of a task that has ended may tell more.
                if self._has_in_hand(report.task_id, report.lease):
                    self.told.append(report)

    def _take_line(self, line: Line) -> None:
        """Take in a line for a task's log, unless nobody wants it or the task is not in hand."""
        if self.output is not None and self._has_in_hand(line.task_id, line.lease):
            self.output.add_line(*line)

    def _has_in_hand(self, task_id: int, lease: int) -> bool:
        return any(item.is_of(task_id, lease) for item in self.in_hand)

    def _is_awaited(self, outcome: Outcome) -> bool:
        running = self.running
        return running is not None and (
            (outcome.task_id == running.id and outcome.lease == running.lease)
            or (self.places > 1 and self._has_in_hand(*outcome[:2]))
        )

    def _done(self, outcome: Outcome) -> ClaimedTask:
        item = self.in_hand.popleft()
        if item.task.id != outcome.task_id:
            self.in_hand.appendleft(item)
            item = next(item for item in self.in_hand if item.is_of(*outcome[:2]))
            self.in_hand.remove(item)
        self.backlog_seconds -= item.seconds or 0.0
        return item.task

    def _forget_limit(self, task_id: int, now: float) -> None:
        limit = self.hard_limits.pop(task_id, None)
        if limit is not None and limit.kill_at <= now:
            self.drained_by = None  # It has stopped after all.

    def _weigh(self) -> None:
        self.backlog_seconds = sum(item.seconds or 0.0 for item in self.in_hand)
        self.is_exclusive = self.places == 1 and any(item.seconds is None for item in self.in_hand)


def _pipe(unless_complete: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        unless_complete.callback(os.close, end)
    return ends
