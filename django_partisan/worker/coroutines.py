"""Coroutines of processors: run to their end in an event loop, and interrupted in there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from types import CoroutineType
from typing import Any

from django_partisan.exceptions import TaskCancelled, TaskTimedOut


class Interruptible:
    """What a coroutine's ``run()`` has returned, awaited once, in which an error may be raised.

    Where it waits, it is cancelled as asyncio does that, so that what it waits for ends as well.
    What it gets to see is the error, though, which is both of its own kind and a CancelledError:
    it is caught as in a processor that is not asynchronous, and groups of tasks end as they should.
    """

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        own = isinstance(awaitable, CoroutineType)
        self._coroutine: Any = awaitable if own else _awaited(awaitable)
        self._task: asyncio.Task[Any] | None = None
        self._error: TaskCancelled | TaskTimedOut | None = None
        self.is_stepping = False
        """Whether its code runs now."""
        self._is_raised = False
        self._is_over = False

    async def result(self) -> Any:
        """Run it to its end, and return what it returns."""
        try:
            return await self
        except BaseException as error:
            if self._error is None or not self._is_meant(error):
                raise
            raise self._error.with_traceback(error.__traceback__) from _cause(error)
        finally:
            self._is_over = True
            self._coroutine.close()  # Where it was left in the middle, by a signal.

    def interrupt(self, error: TaskCancelled | TaskTimedOut) -> None:
        """Raise an error in it, by a handler of signals: in the thread that the loop runs in.

        Where it is running, the error is raised from here through whatever it has called.
        """
        self._error = error
        if self.is_stepping:
            self._is_raised = True
            raise _inside(error)
        if self._task is not None:
            self._task.get_loop().call_soon_threadsafe(self._cancel)

    def _is_meant(self, error: BaseException) -> bool:
        """Say whether an error is what was raised, also where a group of tasks holds it."""
        if isinstance(error, BaseExceptionGroup):
            if isinstance(self._error, TaskCancelled):
                return True  # Whatever else has happened then.
            return all(map(self._is_meant, error.exceptions))
        return isinstance(error, asyncio.CancelledError)

    def _cancel(self) -> None:
        if self._task is not None and not (self._is_raised or self._is_over):
            self._task.cancel()

    # ----- what awaiting it consists of -----

    def __await__(self) -> Generator[Any, Any, Any]:
        self._task = asyncio.current_task()
        return self  # type: ignore[return-value]

    def __iter__(self) -> Interruptible:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """Let it run up to where it waits next."""
        if self._error is not None and not self._is_raised:
            return self.throw(asyncio.CancelledError())
        self.is_stepping = True
        try:
            return self._coroutine.send(value)
        finally:
            self.is_stepping = False

    def throw(self, error: BaseException, *_: Any) -> Any:
        """Raise an error where it waits, and let it run on."""
        if isinstance(error, asyncio.CancelledError) and self._error and not self._is_raised:
            self._is_raised = True
            error = _inside(self._error)
        self.is_stepping = True
        try:
            return self._coroutine.throw(error)
        finally:
            self.is_stepping = False

    def close(self) -> None:
        """End it where it waits."""
        self._coroutine.close()


def run_to_end(coroutine: Interruptible) -> Any:
    """Run a coroutine in an event loop of its own; return what it returns, raise what it raises.

    What it has begun beside itself is cancelled. Threads that still run something for it are not
    waited for.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine.result())
    finally:
        _close(loop)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    try:
        if left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _cause(error: BaseException) -> BaseException | None:
    return error if isinstance(error, BaseExceptionGroup) else None


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


class _TimedOutInside(TaskTimedOut, asyncio.CancelledError):
    """What a coroutine sees of its time limit."""


class _CancelledInside(TaskCancelled, asyncio.CancelledError):
    """What a coroutine sees of a cancel."""


for _kind, _shown in ((_TimedOutInside, TaskTimedOut), (_CancelledInside, TaskCancelled)):
    # By the name under which it is documented, in tracebacks and for error trackers.
    _kind.__module__, _kind.__qualname__, _kind.__name__ = (
        _shown.__module__,
        _shown.__qualname__,
        _shown.__name__,
    )


def _inside(error: TaskCancelled | TaskTimedOut) -> BaseException:
    if isinstance(error, TaskTimedOut):
        return _TimedOutInside(error.seconds)
    return _CancelledInside()
