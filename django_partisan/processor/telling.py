"""What a processor tells of itself while its task runs."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

from django_partisan import lifecycle
from django_partisan.attempt import Interim
from django_partisan.config.wording import shown
from django_partisan.execution.interims import hearing
from django_partisan.payloads.encoding import clean_text, is_storable

if TYPE_CHECKING:
    from django_partisan.attempt import ClaimedTask
    from django_partisan.models import Task

MAX_MESSAGE_LENGTH: Final = 500
"""Characters of the message that goes with a progress."""


class Telling:
    """The part of a processor by which a running task tells how far it is."""

    _claimed: ClaimedTask | None = None
    _task_obj: Task | None = None

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Tell how far the task is: so much of ``total`` is done, in whatever unit.

        It is shown as ``task.progress``. It costs next to nothing, however often it is called, and
        no database connection: the worker passes the last word on, once a second and with the end
        of the attempt. More than the total may be done: that may be an estimate. A run without a
        task, as ``run_now()``, tells nobody.

        Raises TypeError for what is no number, or no text, ValueError for negative numbers, NaN and
        infinity, and for a message of more than 500 characters.
        """
        counts = _count(done, "done"), None if total is None else _count(total, "total")
        if message or type(message) is not str:
            message = _message(message)
        bound = self._claimed or self._task_obj
        if bound is not None:
            self._tell(Interim(bound.id, bound.lease, time.monotonic(), *counts, message))

    def _tell(self, interim: Interim) -> None:
        if self._claimed is not None:
            hearing.listener.note(interim)
        else:
            # Run as 1.6.1 offered it, in a process that hosts no attempts.
            lifecycle.write_interims([interim])
            self._note_on_task()

    def _note_on_task(self) -> None:
        """Let whoever records the end of a task that is run without a manager know of this."""
        if self._task_obj is not None:
            self._task_obj.has_told = True


def _count(value: Any, name: str) -> float:
    if type(value) is int and 0 <= value < _SURELY_A_FLOAT:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"progress({name}=) takes a number, got {shown(value)}")
    if not 0 <= value < math.inf or value > _LARGEST:
        raise ValueError(f"progress({name}=) takes a finite number from 0 on, got {shown(value)}")
    return float(value)


def _message(message: Any) -> str:
    if not isinstance(message, str):
        raise TypeError(f"progress(message=) takes a text, got {shown(message)}")
    if len(message) > MAX_MESSAGE_LENGTH:
        raise ValueError(
            f"progress(message=) takes at most {MAX_MESSAGE_LENGTH} characters, got "
            f"{len(message)}; say it in short, and log the rest"
        )
    text = str.__str__(message)  # Without what a subclass makes of it.
    return text if is_storable(text) else clean_text(text, 8 * MAX_MESSAGE_LENGTH)


_SURELY_A_FLOAT: Final = 2**53
_LARGEST: Final = 1e300
