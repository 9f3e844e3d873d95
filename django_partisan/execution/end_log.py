"""How the end of an attempt that an error ended is logged."""

from __future__ import annotations

import contextlib
import logging
from typing import Final

from django_partisan.attempt import CANCELLED, FAILED, RESUMED, RETRIED, ClaimedTask, Outcome
from django_partisan.execution.error_report import secrets_of
from django_partisan.execution.logged_error import ExcInfo, exc_info_of
from django_partisan.logs import extra_of, short_error
from django_partisan.settings import get_process_settings

logger = logging.getLogger(__name__)
_TOLD: Final = {
    FAILED: (logging.ERROR, "task %d failed: %s"),
    RETRIED: (logging.WARNING, "task %d will be retried: %s"),
    RESUMED: (logging.WARNING, "task %d has come further and will be retried: %s"),
    CANCELLED: (logging.INFO, "task %d is cancelled: %s"),
}


def log_end(task: ClaimedTask, outcome: Outcome, error: BaseException | None = None) -> None:
    """Log the end of an attempt; one in error with the error itself, where it has a traceback.

    A handler that raises changes nothing: the outcome stays what it is.
    """
    level, text = _TOLD[outcome.kind]
    if outcome.error is None or not logger.isEnabledFor(level):
        return
    with contextlib.suppress(Exception):
        exc_info = task_exc_info(task, error) if outcome.kind == FAILED else None
        short = short_error(outcome.error)
        logger.log(level, text, task.id, short, exc_info=exc_info, extra=extra_of(task))


def task_exc_info(task: ClaimedTask, error: BaseException | None) -> ExcInfo | None:
    """Return the ``exc_info=`` of a record about a task's error, None without a traceback."""
    if error is None or error.__traceback__ is None:
        return None
    return exc_info_of(error, secrets_of(task), get_process_settings().MAX_ERROR_BYTES)
