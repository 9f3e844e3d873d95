"""The worker process that runs several tasks at once, in an event loop and in threads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextvars import Context, copy_context
from typing import Any, Final

from django_partisan.attempt import ClaimedTask
from django_partisan.exceptions import ProcessorClassNotFound
from django_partisan.fault_points import reach
from django_partisan.logs import running_beside
from django_partisan.registry.registry import registry
from django_partisan.wire.messages import Blocked, Chunk, Order, Shared, message_of, order_in
from django_partisan.worker.attempts import Attempt, CoroutineAttempt, ThreadAttempt
from django_partisan.worker.connections import (
    close_broken_connections,
    tidy_connections,
)
from django_partisan.worker.interruption import Interruption
from django_partisan.worker.interruptions import Interruptions
from django_partisan.worker.output import ChannelOutput, Output, print_line_by_line
from django_partisan.worker.process import IDLE_CHECK_SECONDS, Worker, WorkerOptions, log_end
from django_partisan.worker.threads import Threads, TidyThreads

_MOST_OTHER_THREADS: Final = 32


class ConcurrentWorker(Worker):
    """A worker that runs what may share it at once, and anything else alone, as any worker does.

    Coroutines run as tasks of one event loop, in the main thread; THREAD_SAFE processors run in
    threads. The manager never mixes: what is to run alone comes while nothing else is in hand. So
    the event loop stands still meanwhile, and such a task may have one of its own.

    What tasks change of the process is put back when nothing runs.
    """

    def __init__(
        self,
        sock: socket.socket,
        tokens: int,
        requests: int,
        options: WorkerOptions,
        output: Sequence[int] = (),
    ) -> None:
        self._loop = asyncio.new_event_loop()
        super().__init__(sock, tokens, requests, options, output)
        self._sock = sock
        self._loop.set_task_factory(self._made_task)
        most = min(options.concurrency, _MOST_OTHER_THREADS)
        self._loop.set_default_executor(TidyThreads(most, thread_name_prefix="partisan-other"))
        self._threads = Threads()
        self._waiting: deque[tuple[int, ClaimedTask]] = deque()
        self._running: dict[asyncio.Task[None], Attempt] = {}
        self._places = 1
        self._idle_since = time.monotonic()
        self._is_ending = False
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._own_context = copy_context()
        self._orders: deque[Order] = deque()

    def _output_on(self, descriptors: Sequence[int]) -> Output | None:
        for fd in descriptors:
            os.close(fd)  # Nobody could tell whose output it is.
        if not descriptors:
            return None
        print_line_by_line()
        return ChannelOutput(self._channel.send)

    def _interruption_by(self, requests: int) -> Interruption:
        self._interruptions = Interruptions(
            requests, self._tell_limited, self._tell_blocked, self._loop
        )
        return self._interruptions

    def _serve(self) -> None:
        self._own_context = copy_context()
        # A process that is forked by what a task has begun beside itself: see _Coroutine.
        os.register_at_fork(after_in_child=self._loop.stop)
        order = order_in(self._channel.receive())
        while True:
            match order:
                case Shared():
                    self._start(order)
                    following = self._share()
                    if following is None:
                        return
                    order = following
                case Chunk():
                    tidy_connections()
                    if not self._run_chunk(order):
                        self._retire()
                        return
                    order = self._next_order()
                case _:
                    return

    def _next_order(self) -> Order:
        return self._orders.popleft() if self._orders else super()._next_order()

    # ----- sharing -----

    def _share(self) -> Order | None:
        """Run what is handed out to be run at once, until something else is ordered.

        None when the worker has to end. Nothing runs any more when this returns.
        """
        serving = self._loop.create_task(self._serving())
        while True:
            try:
                return self._loop.run_until_complete(serving)
            except (KeyboardInterrupt, SystemExit):
                # Out of what a task has begun beside itself; whoever awaits that gets it as well.
                if serving.done():
                    raise

    async def _serving(self) -> Order | None:
        self._take(self._channel.take_received())
        self._loop.add_reader(self._sock, self._read)
        try:
            while self._failure is None and (self._running or not self._is_over()):
                await self._changed.wait()
                self._changed.clear()
        finally:
            self._loop.remove_reader(self._sock)
        if self._failure is not None:
            raise self._failure
        return self._orders.popleft() if self._orders else None

    def _is_over(self) -> bool:
        return self._may_end() or bool(self._orders)

    def _may_end(self) -> bool:
        # Whose token has been taken has to be run: the manager cannot take that back any more.
        return self._is_ending and self._held_token is None

    def _read(self) -> None:
        try:
            self._take(self._channel.receive_ready())
        except BaseException as error:  # noqa: BLE001 - it is raised where the worker ends
            self._fail(error)

    def _take(self, messages: Iterable[Any]) -> None:
        for message in messages:
            order = order_in(message)
            if isinstance(order, Shared) and not self._orders:
                self._start(order)
            else:
                self._orders.append(order)
                self._changed.set()

    def _fail(self, error: BaseException) -> None:
        """End the worker: who is left of its tasks runs again."""
        self._failure = error
        self._changed.set()

    def _start(self, order: Shared) -> None:
        reach("worker.got_several")
        self._interruptions.refresh()
        if not self._running and time.monotonic() - self._idle_since > IDLE_CHECK_SECONDS:
            close_broken_connections()  # Nothing runs: their threads are at rest.
        self._places = order.places
        self._waiting.extend((order.number, task) for task in order.tasks)
        self._fill()

    def _fill(self) -> None:
        """Start as many as there are places for, each by its token."""
        while self._waiting and len(self._running) < self._places and not self._may_end():
            number, task = self._waiting.popleft()
            if self._take_token(number):
                reach("worker.took_one_of_several")
                self._begin(task)
            else:
                while self._waiting and self._waiting[0][0] == number:
                    self._waiting.popleft()  # The rest of the chunk was taken back.

    def _begin(self, task: ClaimedTask) -> None:
        context: Context = self._own_context.copy()
        assert self._process_state is not None
        kind = CoroutineAttempt if _is_async(task) else ThreadAttempt
        attempt = kind(task, context, self._threads, self._process_state, self._interruptions.began)
        self._interruptions.add(attempt)
        if kind is ThreadAttempt:
            context = self._own_context.copy()  # The other one is the thread's.
        if not self._running:
            self._show("several tasks")
        made = asyncio.Task(self._attempt(attempt), loop=self._loop, context=context)
        self._running[made] = attempt
        made.add_done_callback(self._ended, context=self._own_context)

    async def _attempt(self, attempt: Attempt) -> None:
        outcome = await attempt.outcome()
        self._interruptions.remove(attempt)
        log_end(attempt.task, outcome, self._lifeline)
        reach("worker.ran_one_of_several")
        self._report(attempt.task, outcome)
        reach("worker.reported_one_of_several")

    def _ended(self, made: asyncio.Task[None]) -> None:
        attempt = self._running.pop(made)
        self._interruptions.remove(attempt)
        try:
            made.result()
            if not self._running and self._process_state is not None:
                self._process_state.restore(attempt.task.processor_class)
            if not self._is_ending and self._is_spent():
                self._is_ending = True
                self._retire()
            self._fill()
        except BaseException as error:  # noqa: BLE001 - it is raised where the worker ends
            self._fail(error)
        if not self._running:
            self._show("idle")
            self._idle_since = time.monotonic()
            self._changed.set()

    def _made_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        """Make a task of asyncio, and note which attempt it belongs to."""
        made = asyncio.Task(coroutine, loop=loop, **options)
        task = running_beside.get()
        owner = None if task is None else self._interruptions.of(task)
        if isinstance(owner, CoroutineAttempt):
            owner.children.add(made)
            made.add_done_callback(owner.children.discard)
        return made

    def _tell_blocked(self, task_id: int) -> None:
        with contextlib.suppress(OSError):
            self._channel.send(message_of(Blocked(task_id)))


def _is_async(task: ClaimedTask) -> bool:
    try:
        return bool(registry.get_processor_class_by_name(task.processor_class).runs_async)
    except ProcessorClassNotFound:
        return False
