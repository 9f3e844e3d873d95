"""What the end of an attempt means, by the rules of its processor."""

from __future__ import annotations

import logging
import time
from typing import Any

from django_partisan.attempt import (
    CANCELLED,
    FAILED,
    FINISHED,
    POSTPONED,
    RELEASED,
    RESUMED,
    RETRIED,
    ClaimedTask,
    Outcome,
)
from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.exceptions import (
    CancelTask,
    FailTask,
    MaxPostponesReached,
    PostponeTask,
    ProcessorClassNotFound,
    TaskCancelled,
    TaskGivenBack,
)
from django_partisan.execution.end_log import log_end
from django_partisan.execution.error_report import report
from django_partisan.execution.processor import Rules
from django_partisan.execution.retry_pause import RetryDelay, retry_pause
from django_partisan.payloads.encoding import result_or_reason
from django_partisan.registry.registry import registry
from django_partisan.settings import get_process_settings, settings_of

logger = logging.getLogger(__name__)


def finished_outcome(task: ClaimedTask, started: float, value: Any) -> Outcome:
    """Return the outcome of an attempt that returned ``value``."""
    if value is None:
        return Outcome(task.id, task.lease, FINISHED, started, time.monotonic())
    result, reason = result_or_reason(value, get_process_settings().MAX_RESULT_BYTES)
    if reason:
        logger.warning(
            "task %s: the return value of %s is %s; its repr is kept instead",
            task.id,
            task.processor_class,
            reason,
        )
    return ended(task, started, FINISHED, result=result)


def judge(
    task: ClaimedTask,
    rules: Rules,
    error: BaseException,
    started: float | None,
    retry_delay: RetryDelay | None = None,
) -> Outcome:
    """Return the outcome of an attempt that raised, by its processor's own rules.

    Where it earns a retry, ``retry_delay`` is asked for the pause before that.
    """
    if isinstance(error, PostponeTask):
        return _postponed(task, rules, error, started)
    if isinstance(error, (TaskCancelled, CancelTask)):
        return ended_badly(task, started, CANCELLED, error)
    if isinstance(error, TaskGivenBack):
        return ended(task, started, RELEASED, delay_seconds=error.seconds)
    kind, counted = RETRIED, task
    if rules.has_come_further:
        kind, counted = RESUMED, task._replace(retries=0)
    config = rules.RETRY_ON_ERROR_CONFIG
    if config is not None and _earns_retry(config, error, counted.retries + 1):
        pause = retry_pause(counted, error, config, retry_delay)
        return ended_badly(task, started, kind, error, delay_seconds=pause)
    return ended_badly(task, started, FAILED, error)


def unreportable(task: ClaimedTask, outcome: Outcome, error: ValueError) -> Outcome:
    """Return the end in error of an attempt whose outcome cannot travel to the manager."""
    fault = TypeError(f"The outcome ({outcome.kind}) holds no plain values: {error}")
    return ended_badly(task, outcome.started, FAILED, fault)


def killed_outcome(task: ClaimedTask, error: BaseException, started: float | None) -> Outcome:
    """Return the outcome of an attempt whose worker had to be killed for ``error``."""
    try:
        # The class has them as well, which no type checker can say of a class it does not know.
        rules: Any = registry.get_processor_class_by_name(task.processor_class)
    except ProcessorClassNotFound:
        return ended_badly(task, started, FAILED, error)
    return judge(task, rules, error, started)


def _earns_retry(config: ErrorsHandleConfig, error: BaseException, retry: int) -> bool:
    if isinstance(error, FailTask):
        return False
    return config.matches(error) and config.should_be_retried(retry)


def _postponed(
    task: ClaimedTask, rules: Rules, postpone: PostponeTask, started: float | None
) -> Outcome:
    allowed = _allowed_postpones(task, rules)
    if allowed is not None and task.postpones >= allowed:
        error = MaxPostponesReached(allowed)
        error.__traceback__ = postpone.__traceback__
        return ended_badly(task, started, FAILED, error)
    if postpone.until is not None:
        return ended(task, started, POSTPONED, due_at=postpone.until.timestamp())
    delay = postpone.postpone_for_seconds
    if delay is None:
        delay = settings_of(task.queue_name).DEFAULT_POSTPONE_DELAY_SECONDS
    return ended(task, started, POSTPONED, delay_seconds=delay)


def _allowed_postpones(task: ClaimedTask, rules: Rules) -> int | None:
    if rules.POSTPONE_CONFIG is not None:
        return rules.POSTPONE_CONFIG.max_postpones
    return settings_of(task.queue_name).DEFAULT_POSTPONES_COUNT


def ended_badly(
    task: ClaimedTask, started: float | None, kind: str, error: BaseException, **details: Any
) -> Outcome:
    """Return the outcome of an attempt that an error ends now, and log it."""
    outcome = ended(task, started, kind, error=report(error, task), **details)
    log_end(task, outcome, error)
    return outcome


def ended(task: ClaimedTask, started: float | None, kind: str, **details: Any) -> Outcome:
    """Return the outcome of an attempt that ends now."""
    return Outcome(task.id, task.lease, kind, started, time.monotonic(), **details)
