"""The worker as the host of attempts: interrupts a task, and puts its process back afterwards."""

from __future__ import annotations

from collections.abc import Callable

from django_partisan.attempt import ClaimedTask, Outcome
from django_partisan.execution import Processor
from django_partisan.logs import running
from django_partisan.signals import task_started
from django_partisan.worker.connections import tidy_connections
from django_partisan.worker.interruption import Interruption
from django_partisan.worker.output import Output, PipeOutput
from django_partisan.worker.process_state import ProcessState


def _with_a_border(process_state: ProcessState, output: PipeOutput) -> Callable[[str], None]:
    """Return what restores the process, and lays what the task has printed to it."""
    put_back, ended = process_state.restore, output.ended

    def restore(processor: str) -> None:
        try:
            put_back(processor)
        finally:
            if running.task is not None and not (process_state.damage and not output.is_whole()):
                try:  # noqa: SIM105 - for each task, and that takes half a microsecond more
                    ended(running.task)
                except OSError:
                    pass  # It may have closed what it does not know of.

    return restore


class WorkerHost:
    """What attempts are made in, as :class:`django_partisan.execution.Host` says."""

    def __init__(
        self, interruption: Interruption, process_state: ProcessState, output: Output | None
    ) -> None:
        # Handed on as they are: a call for each would be paid by every task.
        self.run = interruption.run
        self.restore: Callable[[str], None] = process_state.restore
        if isinstance(output, PipeOutput):
            self.restore = _with_a_border(process_state, output)

    def tell_started(self, task: ClaimedTask, processor: Processor) -> None:
        """Send the signal that a task starts, and leave no session as its receivers have."""
        task_started.deliver(type(processor), task=processor.task_obj)
        tidy_connections(task.processor_class)

    def atomically(self, task: ClaimedTask, attempt: Callable[[], Outcome]) -> Outcome:
        """Make an attempt in the transaction that records its end."""
        # It needs the models, and this module may be imported before they are there.
        from django_partisan.worker.atomic import atomically

        return atomically(task, attempt)
