"""The attempts that a worker makes at once: in its event loop, and in its threads."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any, Final, TypeVar

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from django_partisan.attempt import ClaimedTask, Outcome
from django_partisan.exceptions import TaskCancelled, TaskTimedOut
from django_partisan.execution import Processor, execute, execute_async
from django_partisan.logs import running_beside
from django_partisan.signals import task_started
from django_partisan.worker.connections import tidy_own_connections
from django_partisan.worker.coroutines import Interruptible
from django_partisan.worker.process_state import ProcessState
from django_partisan.worker.threads import TaskThread, Threads

T = TypeVar("T")
_NEVER: Final = float("inf")


class Attempt:
    """One of several attempts that go on in a process; each has a context and a thread of its own.

    ``began`` is told of it when its code starts, which may then be interrupted, in the thread
    where it does.
    """

    is_in_loop = False
    """Whether its code runs in the event loop."""

    def __init__(
        self,
        task: ClaimedTask,
        context: Context,
        threads: Threads,
        process_state: ProcessState,
        began: Callable[[Attempt, Processor], None],
    ) -> None:
        self.task = task
        self.deadline = _NEVER
        self.limit = 0.0
        self.is_cancelled = False
        self.has_begun = False
        """Whether its code has begun, so that it may be interrupted."""
        self.is_interrupted = False
        """Whether an error was raised in it, or is about to be."""
        self.context = context
        self.process_state = process_state
        self._began = began
        self.thread = TaskThread(threads)
        context.run(running_beside.set, task)

    @property
    def key(self) -> tuple[int, int]:
        """Its task and its lease."""
        return self.task[:2]

    def is_due(self, now: float) -> bool:
        """Say whether it is time to interrupt it."""
        return not self.is_interrupted and (self.is_cancelled or now >= self.deadline)

    def error(self) -> TaskCancelled | TaskTimedOut:
        """Return what to raise in it."""
        return TaskCancelled() if self.is_cancelled else TaskTimedOut(self.limit)

    async def outcome(self) -> Outcome:
        """Make it, in its own context, and say how it ended; nothing of it is left then."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """Raise its error in it, once."""
        raise NotImplementedError

    def tell_started(self, task: ClaimedTask, processor: Processor) -> None:
        """Send the signal that the task starts, and leave no session as its receivers have."""
        task_started.deliver(type(processor), task=processor.task_obj)
        tidy_own_connections(task.processor_class)

    @contextlib.contextmanager
    def _judged(self) -> Iterator[None]:
        """Have a cancelled task end as cancelled, whatever it makes of that."""
        try:
            yield
        except Exception as error:
            if self.is_cancelled and self.is_interrupted:
                raise TaskCancelled from error
            raise

    async def _end_thread(self) -> None:
        tidied = self.thread.end(self.task.processor_class)
        if tidied is not None:
            await asyncio.wrap_future(tidied)


class CoroutineAttempt(Attempt):
    """An attempt at an asynchronous task, which runs in the event loop."""

    is_in_loop = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.coroutine: Interruptible | None = None
        self.children: set[asyncio.Task[Any]] = set()
        """What it has begun beside itself and what still goes on."""
        self._marker = ThreadSensitiveContext()
        SyncToAsync.context_to_thread_executor[self._marker] = self.thread
        self.context.run(SyncToAsync.thread_sensitive_context.set, self._marker)

    @property
    def is_stepping(self) -> bool:
        """Whether its own code runs now."""
        return self.coroutine is not None and self.coroutine.is_stepping

    async def outcome(self) -> Outcome:
        """Make it, and cancel what it has begun and left."""
        outcome = await execute_async(self.task, self)
        if self.children:
            left = list(self.children)
            for child in left:
                child.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        vars(self._marker)["_exited"] = True
        await self._end_thread()
        return outcome

    async def run(self, task: ClaimedTask, processor: Processor) -> Any:  # noqa: ARG002
        """Await the processor's coroutine, which may be interrupted."""
        with self._judged():
            self.coroutine = _Coroutine(processor.run(), self.process_state)
            self._began(self, processor)
            return await self.coroutine.result()

    async def in_thread(self, function: Callable[..., T], /, *args: Any) -> T:
        """Call a function in the thread whose connections the task uses."""
        return await sync_to_async(function)(*args)

    def interrupt(self) -> None:
        """Raise its error, by a handler of signals: in the thread of the loop."""
        self.is_interrupted = True
        if self.coroutine is not None:
            self.coroutine.interrupt(self.error())


class ThreadAttempt(Attempt):
    """An attempt at a THREAD_SAFE task, which runs in a thread."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._ident = 0
        self._is_over = False
        self._is_sending = False

    async def outcome(self) -> Outcome:
        """Make it in a thread of its own."""
        made = self.thread.submit(self.context.run, execute, self.task, self)
        outcome: Outcome = await asyncio.wrap_future(made)
        await self._end_thread()
        return outcome

    # ----- in the thread: its host -----

    def restore(self, processor_class: str) -> None:  # noqa: ARG002
        """End a process that the task has forked; what it changed of this one stays."""
        self.process_state.end_if_child()

    def atomically(self, task: ClaimedTask, attempt: Callable[[], Outcome]) -> Outcome:  # noqa: ARG002
        """Refuse: such a task does not share its process."""
        raise AssertionError(f"{task.processor_class} is ATOMIC and has to run alone")

    def run(self, task: ClaimedTask, processor: Processor) -> Any:  # noqa: ARG002
        """Run a task that may be interrupted, and no longer once this returns or raises."""
        self._ident = threading.get_ident()
        with self._judged():
            try:
                self._began(self, processor)
                return processor.run()
            except _RaisedInThread as error:
                raise self.error().with_traceback(error.__traceback__) from None
            finally:
                self._settle()

    def _settle(self) -> None:
        """Make sure that nothing is raised in this thread any more."""
        try:
            self._stop_raising()
        except _RaisedInThread:
            self._stop_raising()  # It is raised once.

    def _stop_raising(self) -> None:
        # Whoever raises it writes before it reads, as is done here: one of both sees the other.
        self._is_over = True
        while self._is_sending:
            time.sleep(0)
        _raise_in_thread(self._ident, None)

    # ----- in the thread that watches, and where it begins -----

    def interrupt(self) -> None:
        """Raise its error with the next instruction of Python that its thread comes to."""
        if threading.get_ident() == self._ident:
            self.is_interrupted = True
            raise self.error()
        self._is_sending = True
        if not (self._is_over or self.is_interrupted):
            self.is_interrupted = True
            kind = _CancelledInThread if self.is_cancelled else _timed_out_in_thread(self.limit)
            _raise_in_thread(self._ident, kind)
        self._is_sending = False


class _Coroutine(Interruptible):
    """A coroutine beside others: a process that it forks does not go on with those."""

    def __init__(self, awaitable: Any, process_state: ProcessState) -> None:
        super().__init__(awaitable)
        self._process_state = process_state

    def send(self, value: Any) -> Any:
        """Let it run up to where it waits next."""
        try:
            return super().send(value)
        finally:
            self._process_state.end_if_child()

    def throw(self, error: BaseException, *rest: Any) -> Any:
        """Raise an error where it waits, and let it run on."""
        try:
            return super().throw(error, *rest)
        finally:
            self._process_state.end_if_child()


class _RaisedInThread(BaseException):
    """What is raised in a thread: by its class, as Python makes the object itself."""


class _CancelledInThread(_RaisedInThread, TaskCancelled):
    """What a task in a thread sees of a cancel."""


def _timed_out_in_thread(seconds: float) -> type[BaseException]:
    """Return what a task in a thread sees of its time limit."""

    def __init__(self: Any) -> None:  # noqa: N807
        TaskTimedOut.__init__(self, seconds)

    names = {"__init__": __init__, "__module__": TaskTimedOut.__module__}
    return type("TaskTimedOut", (TaskTimedOut, _RaisedInThread), names)


def _raise_in_thread(ident: int, kind: type[BaseException] | None) -> None:
    given = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), given)
