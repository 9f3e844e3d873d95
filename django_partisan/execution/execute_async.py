"""Running one attempt at an asynchronous task, beside others in one event loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from django.core.exceptions import SynchronousOnlyOperation

from django_partisan.attempt import FAILED, ClaimedTask, Outcome
from django_partisan.execution.execute import initialized_processor
from django_partisan.execution.judge import ended_badly, finished_outcome, judge
from django_partisan.execution.processor import Processor
from django_partisan.execution.returned import done
from django_partisan.signals import task_started

T = TypeVar("T")


class AsyncHost(Protocol):
    """What is around an asynchronous attempt: see :class:`.Host`."""

    def tell_started(self, task: ClaimedTask, processor: Processor) -> None:
        """Send the signal that a task starts now; nothing of its receivers reaches the task."""

    async def run(self, task: ClaimedTask, processor: Processor) -> Any:
        """Return what the processor returns, raise what it raises; interrupt it where need be."""

    async def in_thread(self, function: Callable[..., T], /, *args: Any) -> T:
        """Call a function in the thread that is the task's own, where it may use the database."""


async def execute_async(task: ClaimedTask, host: AsyncHost) -> Outcome:
    """Run an asynchronous task once and say how it ended. Raises nothing, whatever it raises."""
    started = time.monotonic()
    try:
        return await _attempted(task, host, started)
    except BaseException as error:
        return ended_badly(task, started, FAILED, error)


async def _attempted(task: ClaimedTask, host: AsyncHost, started: float) -> Outcome:
    try:
        processor = initialized_processor(task)
    except SynchronousOnlyOperation:
        # A constructor of its own that uses the database.
        processor = await host.in_thread(initialized_processor, task)
    if task_started.receivers:
        await host.in_thread(host.tell_started, task, processor)
    try:
        value = await host.run(task, processor)
        value = None if value is None else done(value)
    except BaseException as error:
        if processor.RETRY_ON_ERROR_CONFIG is None:
            return judge(task, processor, error, started)
        # It may ask retry_delay(), the project's own code, which may use the database.
        return await host.in_thread(_judged, task, processor, error, started)
    return finished_outcome(task, started, value)


def _judged(
    task: ClaimedTask, processor: Processor, error: BaseException, started: float
) -> Outcome:
    return judge(task, processor, error, started, processor.retry_delay)
