"""The worker as the host of attempts: interrupts a task, and puts its process back afterwards."""

from __future__ import annotations

from collections.abc import Callable

from django_partisan.attempt import ClaimedTask, Outcome
from django_partisan.execution import Processor
from django_partisan.signals import task_started
from django_partisan.worker.connections import tidy_connections
from django_partisan.worker.interruption import Interruption
from django_partisan.worker.process_state import ProcessState


class WorkerHost:
    """What attempts are made in, as :class:`django_partisan.execution.Host` says."""

    def __init__(self, interruption: Interruption, process_state: ProcessState) -> None:
        # Handed on as they are: a call for each would be paid by every task.
        self.run = interruption.run
        self.restore = process_state.restore

    def tell_started(self, task: ClaimedTask, processor: Processor) -> None:
        """Send the signal that a task starts, and leave no session as its receivers have."""
        task_started.deliver(type(processor), task=processor.task_obj)
        tidy_connections(task.processor_class)

    def atomically(self, task: ClaimedTask, attempt: Callable[[], Outcome]) -> Outcome:
        """Make an attempt in the transaction that records its end."""
        # It needs the models, and this module may be imported before they are there.
        from django_partisan.worker.atomic import atomically

        return atomically(task, attempt)
