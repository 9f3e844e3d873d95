"""Running one attempt at a claimed task, which returns exactly one outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from django_partisan.attempt import FAILED, ClaimedTask, Outcome
from django_partisan.execution.error_report import report
from django_partisan.execution.judge import ended, finished_outcome, judge
from django_partisan.payloads.encoding import decode_arguments
from django_partisan.registry.registry import registry


class Runner(Protocol):
    """What a worker puts around the code of a task."""

    def run(self, task: ClaimedTask, processor: Any) -> Any:
        """Return what the processor returns."""


Atomically = Callable[[ClaimedTask, Callable[[], Outcome]], Outcome]
"""How to run a task in the transaction that records its end."""


def _nothing(processor: str) -> None:
    """Restore nothing."""


def execute(
    task: ClaimedTask,
    runner: Runner | None = None,
    restore: Callable[[str], None] = _nothing,
    atomically: Atomically | None = None,
) -> Outcome:
    """Run a claimed task once and say how it ended. Raises nothing, whatever the task raises.

    ``restore`` is called with the processor's name once the task's own code has ended, before
    anything is made of its end; of an ATOMIC one, again after what it has left to do on commit.
    """
    started = time.monotonic()
    try:
        return _attempted(task, started, runner, restore, atomically)
    except BaseException as error:
        return ended(task, started, FAILED, error=report(error, task))


def initialized_processor(task: ClaimedTask) -> Any:
    """Return the task's processor bound to it; raise what makes that impossible."""
    processor_class = registry.get_processor_class_by_name(task.processor_class)
    args, kwargs = decode_arguments(task.arguments)
    processor = processor_class(*args, **kwargs)
    processor.bind(task)
    return processor


def _attempted(
    task: ClaimedTask,
    started: float,
    runner: Runner | None,
    restore: Callable[[str], None],
    atomically: Atomically | None,
) -> Outcome:
    processor = None
    try:
        try:
            processor = initialized_processor(task)
            if processor.ATOMIC and atomically is not None:
                made = processor
                return atomically(task, lambda: _inside(task, made, started, runner, restore))
            value = _run(task, processor, runner)
        finally:
            restore(task.processor_class)
    except BaseException as error:
        if processor is None:
            raise
        return judge(task, processor, error, started)
    return finished_outcome(task, started, value)


def _inside(
    task: ClaimedTask,
    processor: Any,
    started: float,
    runner: Runner | None,
    restore: Callable[[str], None],
) -> Outcome:
    try:
        value = _run(task, processor, runner)
    finally:
        # A process that the task has forked ends here: the transaction is its parent's.
        restore(task.processor_class)
    return finished_outcome(task, started, value)


def _run(task: ClaimedTask, processor: Any, runner: Runner | None) -> Any:
    return processor.run() if runner is None else runner.run(task, processor)
