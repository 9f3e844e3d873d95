"""The worker process: runs the attempts it is handed, one after another, and reports each."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import resource
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import setproctitle

from django_partisan.attempt import FINISHED, RECORDED, ClaimedTask, Outcome
from django_partisan.config.const import CUT_OFF_WORKER
from django_partisan.execution import execute, unreportable
from django_partisan.execution.interims import hearing
from django_partisan.fault_points import reach
from django_partisan.logs import extra_of, running
from django_partisan.shortage import is_shortage
from django_partisan.wire.channel import BlockingChannel
from django_partisan.wire.messages import Chunk, Limited, Order, Retired, message_of, order_in
from django_partisan.worker.connections import (
    close_broken_connections,
    close_ended_connections,
    tidy_connections,
    watch_connections,
)
from django_partisan.worker.descriptors import is_open, out_of_reach
from django_partisan.worker.host import WorkerHost
from django_partisan.worker.interims import Interims
from django_partisan.worker.interruption import Interruption
from django_partisan.worker.lifeline import Lifeline
from django_partisan.worker.output import Output, PipeOutput, attend
from django_partisan.worker.process_state import ProcessState
from django_partisan.worker.signals import ignore_signals, restore_in_children

logger = logging.getLogger(__name__)
IDLE_CHECK_SECONDS: Final = 1.0
_MEMORY_CHECK_SECONDS: Final = 0.5


class WorkerOptions(NamedTuple):
    """What a worker is told when it starts; plain values only."""

    title: str
    max_tasks: int | None
    max_memory_mb: int | None
    names_tasks: bool = False
    concurrency: int = 1
    """How many tasks it may run at once."""


class StarvedError(Exception):
    """The worker cannot begin for lack of threads, descriptors or memory."""


class Worker:
    """One worker process, from its first task to its last.

    A task's error never ends it. It ends when told to, when its manager is gone, when it has run
    its share of tasks or grown too large, and after a task that had to be interrupted.
    """

    def __init__(
        self,
        sock: socket.socket,
        tokens: int,
        requests: int,
        options: WorkerOptions,
        output: Sequence[int] = (),
    ) -> None:
        self._options = options
        self._channel = BlockingChannel(sock)
        self._tokens = tokens
        os.set_blocking(tokens, False)
        self._descriptors = (sock.fileno(), tokens, requests)
        self._process_state: ProcessState | None = None
        self._host: WorkerHost | None = None
        self._output = self._output_on(output)
        self._lifeline = Lifeline(tokens, self._hand_back)
        self._interruption = self._interruption_by(requests)
        self._interims = Interims(
            lambda told: self._channel.send(message_of(told)), self._interruption.wanted_back
        )
        self._held_token: bytes | None = None
        self._tasks_left = _jittered(options.max_tasks)
        self._memory_checked_at = 0.0
        self._shown = ""

    def run(self) -> None:
        """Serve chunks of tasks until there is a reason to end."""
        reach("worker.born")
        with _not_starving():
            self._lifeline.start()
            self._interruption.start()
            self._interims.start()
            self._process_state = self._noted_state()
        self._host = WorkerHost(self._interruption, self._process_state, self._output)
        hearing.listener = self._interims
        os.register_at_fork(after_in_child=self._let_go)
        restore_in_children()  # Last: what Ctrl-C raises in another one of these is lost.
        self._show("idle")
        try:
            self._serve()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._lifeline.end()

    def _interruption_by(self, requests: int) -> Interruption:
        return Interruption(requests, self._tell_limited)

    def _output_on(self, descriptors: Sequence[int]) -> Output | None:
        if not descriptors:
            return None
        return PipeOutput(descriptors, names_tasks=self._options.names_tasks)

    def _noted_state(self) -> ProcessState:
        output = self._output
        attend(output)
        if not isinstance(output, PipeOutput):
            return ProcessState(self._descriptors)
        output.start()
        left_children = (output.has_had_children, False, output.must_move)
        state = ProcessState((*self._descriptors, *output.descriptors), [left_children])
        output.spares_are(state.spares_of_output)
        return state

    def _hand_back(self) -> None:
        if self._output is not None:
            self._output.hand_back()

    def _serve(self) -> None:
        while isinstance(order := self._next_order(), Chunk):
            if not self._run_chunk(order):
                self._retire()
                return

    def _retire(self) -> None:
        self._channel.send(message_of(Retired()))
        reach("worker.retired")

    def _next_order(self) -> Order:
        waiting_since = time.monotonic()
        message = self._channel.receive()
        if time.monotonic() - waiting_since > IDLE_CHECK_SECONDS:
            close_broken_connections()
        return order_in(message)

    def _run_chunk(self, chunk: Chunk) -> bool:
        """Run tasks until the chunk ends or is taken back; say whether there may be more."""
        reach("worker.got_a_chunk")
        self._interruption.refresh()
        for task in chunk.tasks:
            if not self._take_token(chunk.number):
                break
            reach("worker.took_a_task")
            self._run_task(task)
            if self._is_spent():
                return False
        self._show("idle")
        return True

    def _take_token(self, number: int) -> bool:
        """Take the right to start the chunk's next task; False when the manager took it back.

        Each task of a chunk has one byte in the pipe, the chunk's number. Reading it is atomic, so
        worker and manager never both get it. A byte of a later chunk says that this one is dead.
        """
        token = self._held_token or self._read_token()
        self._held_token = None
        if token is None:
            return False
        if token[0] != number:
            self._held_token = token
            return False
        return True

    def _read_token(self) -> bytes | None:
        try:
            return os.read(self._tokens, 1) or None
        except BlockingIOError:
            return None

    def _run_task(self, task: ClaimedTask) -> None:
        assert self._process_state is not None
        assert self._host is not None
        self._show(task.processor_class)
        close_ended_connections()
        self._process_state.prepare(task.processor_class)
        if running.has_spoken:
            self._end_words()
        running.task = task
        if self._options.names_tasks and self._output is not None:
            self._output.began(task)
        outcome = execute(task, self._host)
        if self._process_state.damage and not all(map(is_open, self._descriptors)):
            os._exit(CUT_OFF_WORKER)  # Nothing can be said any more but by the exit code.
        log_end(task, outcome, self._lifeline)
        if not self._process_state.damage:  # Else they end with the worker, whatever they are.
            tidy_connections(task.processor_class)
        if running.has_spoken:
            self._end_words()
        reach("worker.ran")
        self._report(task, outcome)
        running.task = None
        reach("worker.reported")

    def _report(self, task: ClaimedTask, outcome: Outcome) -> None:
        if self._interims.tellers:
            self._interims.settle(task)
        if self._interruption.wanted_back:
            self._interruption.wanted_back.discard(task[:2])
        try:
            self._channel.send(message_of(outcome))
        except ValueError as error:
            self._channel.send(message_of(unreportable(task, outcome, error)))

    def _end_words(self) -> None:
        """Keep what the worker itself has said out of the next task's output."""
        running.has_spoken = False
        if self._output is not None and self._output.is_whole():
            self._output.ended_words()

    def _let_go(self) -> None:
        """Leave the manager to the worker alone: a process that a task forks is no worker."""
        for fd in self._descriptors:
            with contextlib.suppress(OSError):
                os.close(fd)

    def _tell_limited(self, started: float, limit: float, grace: float, task_id: int) -> None:
        self._channel.send(message_of(Limited(started, limit, grace, task_id)))

    def _is_spent(self) -> bool:
        if self._process_state is not None and self._process_state.damage:
            logger.warning(
                "worker %d is replaced after its last task: %s",
                os.getpid(),
                self._process_state.damage,
            )
            return True
        if self._interruption.has_interrupted:
            return True
        if self._tasks_left is not None:
            self._tasks_left -= 1
            if self._tasks_left <= 0:
                return True
        return self._options.max_memory_mb is not None and self._is_too_large()

    def _is_too_large(self) -> bool:
        now = time.monotonic()
        if now - self._memory_checked_at < _MEMORY_CHECK_SECONDS:
            return False
        self._memory_checked_at = now
        return _memory_mb() > (self._options.max_memory_mb or 0)

    def _show(self, doing: str) -> None:
        if doing != self._shown:
            self._shown = doing
            setproctitle.setproctitle(f"{self._options.title} {doing}")


def serve(
    kind: type[Worker],
    sock: socket.socket,
    tokens: int,
    requests: int,
    options: WorkerOptions,
    output: Sequence[int] = (),
) -> None:
    """Be a worker of a kind in a freshly forked process; returns when it should exit."""
    ignore_signals()
    random.seed()
    watch_connections()
    with _not_starving():
        moved = socket.socket(fileno=_moved(sock.detach()))
        others = list(map(_moved, (tokens, requests, *output)))
        worker = kind(moved, others[0], others[1], options, others[2:])
    with moved:
        worker.run()


@contextlib.contextmanager
def _not_starving() -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, MemoryError) as error:
        if is_shortage(error):
            raise StarvedError(str(error)) from error
        raise


def _moved(fd: int) -> int:
    """Move a descriptor to where a task that closes all it can think of rarely gets."""
    duplicate = out_of_reach(fd)
    os.close(fd)
    return duplicate


def _jittered(count: int | None) -> int | None:
    """Shorten a limit by up to a tenth, so that workers do not all end at once."""
    return None if count is None else max(1, count - random.randint(0, count // 10))


def log_end(task: ClaimedTask, outcome: Outcome, lifeline: Lifeline) -> None:
    """Log an end without an error; one with an error is logged where it is judged.

    What an orphan ends with counts for nothing: its task runs again.
    """
    if outcome.error is None and logger.isEnabledFor(logging.DEBUG) and not lifeline.is_cut():
        kind = FINISHED if outcome.kind == RECORDED else outcome.kind
        logger.debug("task %d %s", task.id, kind, extra=extra_of(task))


def _memory_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024
    return pages * resource.getpagesize() / (1 << 20)
