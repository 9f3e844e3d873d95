"""The signals that tell a project's receivers what happens to tasks, workers and managers.

They are sent once per event, after what they tell of is committed, and at most once: whoever is
killed in between sends nothing. See the reference for the process that sends each of them.
"""

from __future__ import annotations

import logging
from typing import Any

from django.dispatch import Signal

from django_partisan.exceptions import TaskCancelled, TaskTimedOut
from django_partisan.logs import Reasons, one_line

logger = logging.getLogger(__name__)


class PartisanSignal(Signal):
    """A signal of this package: it has a name, and says what its receivers are given.

    Nothing that a receiver raises reaches whoever sends. Each reason is logged once per receiver.
    """

    def __init__(self, name: str, *arguments: str) -> None:
        super().__init__()
        self.name = name
        self.arguments = arguments
        """The keyword arguments of a receiver, beside ``sender`` and ``signal``."""
        self._reasons: dict[str, Reasons] = {}

    def __repr__(self) -> str:
        return f"<signal {self.name}>"

    def deliver(self, sender: type[Any] | None, **values: Any) -> None:
        """Call the receivers; what they raise is logged, also a ``SystemExit``.

        Raised is what others have raised inside of them: ``KeyboardInterrupt``, and the end of the
        task that sends, ``TaskTimedOut`` or ``TaskCancelled``.
        """
        try:
            responses = self.send_robust(sender, **values)
        except (KeyboardInterrupt, TaskCancelled):
            raise
        except BaseException as error:  # noqa: BLE001 - a receiver's sys.exit()
            self._log_robust_failure("?", error)
            return
        for _, response in responses:
            if isinstance(response, TaskTimedOut):
                raise response

    def _log_robust_failure(self, receiver: Any, err: BaseException) -> None:
        """Log what a receiver has raised, in place of Django's line for each time it does."""
        name = _name_of(receiver)
        if self._reasons.setdefault(name, Reasons()).add(err):
            logger.error(
                "receiver %s of %s raised %s, which affects nothing else and is told once: %s",
                name,
                self.name,
                type(err).__name__,
                one_line(err),
                exc_info=err,
            )


def _name_of(receiver: Any) -> str:
    name = getattr(receiver, "__qualname__", None) or type(receiver).__qualname__
    module = getattr(receiver, "__module__", None)
    return name if module is None or isinstance(receiver, str) else f"{module}.{name}"


task_enqueued = PartisanSignal("task_enqueued", "task")
task_started = PartisanSignal("task_started", "task")
task_finished = PartisanSignal("task_finished", "task")
task_failed = PartisanSignal("task_failed", "task", "error")
task_retried = PartisanSignal("task_retried", "task", "error")
task_postponed = PartisanSignal("task_postponed", "task")
task_cancelled = PartisanSignal("task_cancelled", "task", "reason")
task_rescued = PartisanSignal("task_rescued", "task", "reason")
worker_died = PartisanSignal("worker_died", "task", "pid", "reason")
manager_started = PartisanSignal("manager_started", "manager")
manager_stopped = PartisanSignal("manager_stopped", "manager", "exit_code")
