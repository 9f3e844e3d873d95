"""What hosts an attempt: the process that runs a task's code, as the attempt sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from django_partisan.attempt import ClaimedTask, Outcome
from django_partisan.execution.processor import Processor
from django_partisan.execution.returned import run_here
from django_partisan.signals import task_started


class Host(Protocol):
    """The process around an attempt, which the task's code must leave as it was."""

    def tell_started(self, task: ClaimedTask, processor: Processor) -> None:
        """Send the signal that a task starts now; nothing of its receivers reaches the task."""

    def run(self, task: ClaimedTask, processor: Processor) -> Any:
        """Return what the processor returns, raise what it raises; interrupt it where need be."""

    def restore(self, processor_class: str) -> None:
        """Put back what the code of a processor, given by its name, has changed of the process.

        It is called once that code has ended and before anything is made of its end, while the
        error that it ended with, if any, is being handled. An error that is raised here counts as
        the task's own. It does not return in a process that the code has forked.
        """

    def atomically(self, task: ClaimedTask, attempt: Callable[[], Outcome]) -> Outcome:
        """Make an attempt, and record its outcome in the same transaction; return what it is then.

        Whatever is raised before the commit has rolled everything back, and is raised again.
        """


class PlainHost:
    """Makes an attempt right here: nothing interrupts it, nothing is put back, nothing recorded."""

    def tell_started(self, task: ClaimedTask, processor: Processor) -> None:  # noqa: ARG002
        """Send the signal."""
        task_started.deliver(type(processor), task=processor.task_obj)

    def run(self, task: ClaimedTask, processor: Processor) -> Any:  # noqa: ARG002
        """Return what the processor returns."""
        return run_here(processor)

    def restore(self, processor_class: str) -> None:
        """Put nothing back."""

    def atomically(self, task: ClaimedTask, attempt: Callable[[], Outcome]) -> Outcome:  # noqa: ARG002
        """Make the attempt without a transaction: whoever asked for it records its end."""
        return attempt()
