"""How long a retry waits: as its processor says, or else its error, or else the configuration."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from django_partisan.attempt import ClaimedTask
from django_partisan.backoff import MAX_PAUSE_SECONDS, bounded
from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.execution.end_log import task_exc_info
from django_partisan.execution.error_report import name_of, report
from django_partisan.logs import extra_of, short_error

logger = logging.getLogger(__name__)
RetryDelay = Callable[[BaseException, int], Any]
"""Asks a processor for the pause after an error and the number of the attempt that it ended."""
_ATTRIBUTE: Final = "retry_after_seconds"
_MOST_TOLD: Final = 1000
_told: set[tuple[str, ...]] = set()


def retry_pause(
    task: ClaimedTask,
    error: BaseException,
    config: ErrorsHandleConfig,
    retry_delay: RetryDelay | None,
) -> float:
    """Return the seconds before the retry that an error has earned.

    What ``retry_delay()`` of the processor returns comes first, then ``retry_after_seconds`` of the
    error, then the configuration. What is no pause is logged, once for each reason, and left out.
    Without ``retry_delay`` there is no processor to ask, as its worker had to be killed.
    """
    given = None if retry_delay is None else _of_processor(task, error, retry_delay)
    if given is None:
        given = _of_error(task, error)
    return config.get_pause_seconds(task.retries + 1) if given is None else given


def _of_processor(task: ClaimedTask, error: BaseException, retry_delay: RetryDelay) -> float | None:
    try:
        given = retry_delay(error, task.attempts)
        return _seconds(given.total_seconds() if isinstance(given, timedelta) else given)
    except BaseException as fault:
        remedy = "Return seconds, a timedelta, or None for the configured pause"
        _tell(task, f"{task.processor_class}.retry_delay()", fault, remedy)
        return None


def _of_error(task: ClaimedTask, error: BaseException) -> float | None:
    try:
        return _seconds(getattr(error, _ATTRIBUTE, None))
    except BaseException as fault:
        remedy = "Set it to seconds, or to None for the configured pause"
        _tell(task, f"{_ATTRIBUTE} of {name_of(error)}", fault, remedy)
        return None


class _NoPauseError(Exception):
    """What was given is no pause, for one of a few reasons."""


def _seconds(given: Any) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise _NoPauseError(f"no number of seconds, but of type {type(given).__name__}")
    if given < 0:
        raise _NoPauseError("negative")
    if not given < math.inf:
        raise _NoPauseError("not finite")
    return bounded(min(given, MAX_PAUSE_SECONDS))  # An integer may be too large for a float.


def _tell(task: ClaimedTask, source: str, fault: BaseException, remedy: str) -> None:
    is_own = not isinstance(fault, _NoPauseError)
    reason = (task.processor_class, source, name_of(fault) if is_own else str(fault))
    if reason in _told or len(_told) >= _MOST_TOLD:
        return
    _told.add(reason)
    what = f"raised {short_error(report(fault, task))}" if is_own else f"is {fault}"
    with contextlib.suppress(Exception):
        logger.warning(
            "task %d of %s waits for its retry as RETRY_ON_ERROR_CONFIG says, because %s %s. %s.",
            *(task.id, task.processor_class, source, what, remedy),
            exc_info=task_exc_info(task, fault) if is_own else None,
            extra=extra_of(task),
        )
