"""One worker as the manager sees it: its pipe, its process, and the tasks it has in hand."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django_partisan.channel import Channel
from django_partisan.execution import ClaimedTask, Outcome
from django_partisan.launcher_client import LauncherClient
from django_partisan.worker import RETIRED, STOP, outcome_of


@dataclass(slots=True)
class InHand:
    """A task that a worker was handed and has not reported yet."""

    task: ClaimedTask
    chunk: int
    seconds: float | None


class WorkerHandle:
    """The manager's end of one worker process.

    Beside the channel there is a pipe of tokens, one byte for each task in hand that has not been
    started. Whoever reads a byte has the task: the worker to run it, or the manager to take it
    back. So no task is ever run by one worker while it is handed to another.
    """

    def __init__(self, number: int, now: float, launcher: LauncherClient) -> None:
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
        self.doom = ""
        ours, self.theirs = socket.socketpair()
        self.channel = Channel(ours)
        self.tokens, self._token_writer = os.pipe()
        os.set_blocking(self.tokens, False)
        self._next_chunk = 0

    @property
    def accepts(self) -> bool:
        """Whether the worker may be handed tasks."""
        return not (self.is_stopping or self.is_gone or self.doom)

    @property
    def running(self) -> ClaimedTask | None:
        """The task that was started and not reported, as far as the manager knows."""
        return self.in_hand[0].task if self.in_hand else None

    def hand_out(self, chunk: Sequence[tuple[ClaimedTask, float | None]], now: float) -> None:
        """Give tasks, each with its expected seconds (None makes the worker take no others)."""
        number = self._next_chunk
        self._next_chunk = (number + 1) % 256
        # Tokens first: a worker that finds a task without one takes it as taken back.
        os.write(self._token_writer, bytes([number]) * len(chunk))
        self.channel.send((number, [tuple(task) for task, _ in chunk]))
        if not self.in_hand:
            self.changed_at = now
        for task, seconds in chunk:
            self.in_hand.append(InHand(task, number, seconds))
            self.backlog_seconds += seconds or 0.0
            self.is_exclusive = self.is_exclusive or seconds is None

    def take_back(self) -> list[ClaimedTask]:
        """Take back every task that has not been started, in order."""
        left = Counter(self._read_tokens())
        if not left:
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
        """Return the outcomes that have arrived, and note when the worker retires or is gone."""
        messages, is_gone = self.channel.receive_all()
        outcomes = []
        for message in messages:
            if message == RETIRED:
                self.is_stopping = True
            else:
                outcomes.append((self._done(), outcome_of(message)))
        if outcomes:
            self.changed_at = now
            if not self.in_hand:
                self._weigh()
        self.is_gone = self.is_gone or is_gone
        return outcomes

    def stop(self) -> None:
        """Let the worker end after what it has started."""
        if not self.is_stopping:
            self.is_stopping = True
            self.channel.send(STOP)

    def kill(self, doom: str) -> None:
        """End the worker now; ``doom`` says why, and that its task is not to blame."""
        self.doom = self.doom or doom
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

    def wait_until_dead(self, seconds: float) -> None:
        """Wait a moment for the process to have ended: its channel closes a little earlier."""
        if self.pidfd is not None:
            ended = select.poll()
            ended.register(self.pidfd, select.POLLIN)
            ended.poll(max(0.0, seconds) * 1000)

    def close(self) -> None:
        """Close every descriptor."""
        self.channel.close()
        self.theirs.close()
        for fd in (self.tokens, self._token_writer, self.pidfd):
            if fd is not None:
                os.close(fd)
        self.pidfd = None

    def snapshot(self) -> dict[str, Any]:
        """Return what the worker does right now, as the manager's row shows it."""
        task = self.running
        doing = {} if task is None else {"task": task.id, "processor": task.processor_class}
        return {"worker": self.number, "pid": self.pid, **doing}

    def _read_tokens(self) -> bytes:
        try:
            return os.read(self.tokens, 65536)
        except BlockingIOError:
            return b""

    def _done(self) -> ClaimedTask:
        item = self.in_hand.popleft()
        self.backlog_seconds -= item.seconds or 0.0
        return item.task

    def _weigh(self) -> None:
        self.backlog_seconds = sum(item.seconds or 0.0 for item in self.in_hand)
        self.is_exclusive = any(item.seconds is None for item in self.in_hand)
