"""Running one attempt at a claimed task, which returns exactly one outcome."""

from __future__ import annotations

import time
from typing import Any, Final

from django_partisan.attempt import FAILED, ClaimedTask, Outcome
from django_partisan.execution.host import Host, PlainHost
from django_partisan.execution.judge import ended_badly, finished_outcome, judge
from django_partisan.execution.processor import Processor
from django_partisan.execution.returned import done
from django_partisan.payloads.encoding import decode_stored
from django_partisan.registry.registry import registry
from django_partisan.signals import task_started

_HERE: Final = PlainHost()


def execute(task: ClaimedTask, host: Host = _HERE) -> Outcome:
    """Run a claimed task once and say how it ended. Raises nothing, whatever the task raises.

    The process is restored once the task's own code has ended, before anything is made of its end;
    after an ATOMIC one, again after what it has left to do on commit.
    """
    started = time.monotonic()
    try:
        return _attempted(task, host, started)
    except BaseException as error:
        # By nobody's rules: there is no processor, or its end cannot be judged or kept.
        return ended_badly(task, started, FAILED, error)


def initialized_processor(task: ClaimedTask) -> Processor:
    """Return the task's processor bound to it; raise what makes that impossible."""
    processor_class = registry.get_processor_class_by_name(task.processor_class)
    stored = decode_stored(task.arguments)
    processor: Processor = processor_class(*stored["args"], **stored["kwargs"])
    processor.bind(task)
    return processor


def _attempted(task: ClaimedTask, host: Host, started: float) -> Outcome:
    processor = _bound(task, host)
    if task_started.receivers:
        # Outside of the task's own transaction.
        host.tell_started(task, processor)
    try:
        if processor.ATOMIC:
            return _recorded(task, processor, host, started)
        value = _run(task, processor, host)
    except BaseException as error:
        return _judged(task, processor, error, host, started)
    return finished_outcome(task, started, value)


def _judged(
    task: ClaimedTask, processor: Processor, error: BaseException, host: Host, started: float
) -> Outcome:
    def asked(error: BaseException, attempt: int) -> Any:
        try:
            return processor.retry_delay(error, attempt)
        finally:
            host.restore(task.processor_class)  # That was the task's own code as well.

    return judge(task, processor, error, started, asked)


def _bound(task: ClaimedTask, host: Host) -> Processor:
    try:
        return initialized_processor(task)
    except BaseException:
        host.restore(task.processor_class)
        raise


def _run(task: ClaimedTask, processor: Processor, host: Host) -> Any:
    try:
        value = host.run(task, processor)
        return None if value is None else done(value)  # Most tasks return nothing.
    finally:
        host.restore(task.processor_class)


def _recorded(task: ClaimedTask, processor: Processor, host: Host, started: float) -> Outcome:
    def attempt() -> Outcome:
        # A process that the task has forked ends in here: the transaction is its parent's.
        return finished_outcome(task, started, _run(task, processor, host))

    try:
        return host.atomically(task, attempt)
    finally:
        host.restore(task.processor_class)
