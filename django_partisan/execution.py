"""Running one attempt at a claimed task, which returns exactly one outcome."""

from __future__ import annotations

import logging
import time
import traceback
from typing import Any, Final, NamedTuple

from django_partisan.encoding import clean_text, decode_arguments, encode_result
from django_partisan.exceptions import MaxPostponesReached, PostponeTask
from django_partisan.registry.registry import registry
from django_partisan.settings import get_process_settings, get_queue_settings

logger = logging.getLogger(__name__)

FINISHED: Final = "finished"
RETRIED: Final = "retried"
POSTPONED: Final = "postponed"
FAILED: Final = "failed"
RELEASED: Final = "released"
CRASHED: Final = "crashed"
ORPHANED: Final = "orphaned"


class ClaimedTask(NamedTuple):
    """What a worker needs to know of a task; ``arguments`` is still JSON text.

    ``due`` only sorts: it grows with ``execute_after``, on a scale of the database's own.
    """

    id: int
    lease: int
    processor_class: str
    arguments: str
    queue_name: str
    priority: int
    due: Any
    attempts: int
    retries: int
    postpones: int
    rescues: int
    crashes: int


class ErrorReport(NamedTuple):
    """An error as text that every database can hold, capped in size."""

    type: str
    message: str
    traceback: str


class Outcome(NamedTuple):
    """How one attempt ended. ``started`` and ``ended`` are seconds of the monotonic clock.

    FINISHED has a ``result`` (JSON text or None); RETRIED and POSTPONED a ``delay_seconds`` or a
    ``due_at`` (Unix time); RETRIED, FAILED, CRASHED and ORPHANED an ``error``.
    """

    task_id: int
    lease: int
    kind: str
    started: float | None
    ended: float
    result: str | None = None
    delay_seconds: float | None = None
    due_at: float | None = None
    error: ErrorReport | None = None


def execute(task: ClaimedTask) -> Outcome:
    """Run a claimed task once and say how it ended. Raises nothing, whatever the task raises."""
    started = time.monotonic()
    try:
        return _attempted(task, started)
    except BaseException as error:
        return _ended(task, started, FAILED, error=report(error))


def initialized_processor(task: ClaimedTask) -> Any:
    """Return the task's processor bound to it; raise what makes that impossible."""
    processor_class = registry.get_processor_class_by_name(task.processor_class)
    args, kwargs = decode_arguments(task.arguments)
    processor = processor_class(*args, **kwargs)
    processor.bind(task)
    return processor


def finished(task: ClaimedTask, started: float, value: Any) -> Outcome:
    """Return the outcome of an attempt that returned ``value``."""
    if value is None:
        return Outcome(task.id, task.lease, FINISHED, started, time.monotonic())
    result, is_repr = encode_result(value, get_process_settings().MAX_RESULT_BYTES)
    if is_repr:
        logger.warning(
            "task %s: the return value of %s is not JSON; its repr is kept instead",
            task.id,
            task.processor_class,
        )
    return _ended(task, started, FINISHED, result=result)


def judge(task: ClaimedTask, processor: Any, error: BaseException, started: float) -> Outcome:
    """Return the outcome of an attempt that raised, by the processor's own rules."""
    if isinstance(error, PostponeTask):
        return _postponed(task, processor, error, started)
    config = processor.RETRY_ON_ERROR_CONFIG
    retry = task.retries + 1
    if config is not None and config.matches(error) and config.should_be_retried(retry):
        pause = config.get_pause_seconds(retry)
        return _ended(task, started, RETRIED, delay_seconds=pause, error=report(error))
    return _ended(task, started, FAILED, error=report(error))


def report(error: BaseException) -> ErrorReport:
    """Return an error as capped, storable text; survives errors that cannot be printed."""
    limit = get_process_settings().MAX_ERROR_BYTES
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    return ErrorReport(
        clean_text(name, 255), clean_text(_text_of(error), limit), clean_text(_trace(error), limit)
    )


def _attempted(task: ClaimedTask, started: float) -> Outcome:
    processor = initialized_processor(task)
    try:
        result = processor.run()
    except BaseException as error:
        return judge(task, processor, error, started)
    return finished(task, started, result)


def _postponed(
    task: ClaimedTask, processor: Any, postpone: PostponeTask, started: float
) -> Outcome:
    allowed = _allowed_postpones(task, processor)
    if allowed is not None and task.postpones >= allowed:
        error = MaxPostponesReached(allowed)
        error.__traceback__ = postpone.__traceback__
        return _ended(task, started, FAILED, error=report(error))
    if postpone.until is not None:
        return _ended(task, started, POSTPONED, due_at=postpone.until.timestamp())
    delay = postpone.postpone_for_seconds
    if delay is None:
        delay = get_queue_settings(task.queue_name).DEFAULT_POSTPONE_DELAY_SECONDS
    return _ended(task, started, POSTPONED, delay_seconds=delay)


def _allowed_postpones(task: ClaimedTask, processor: Any) -> int | None:
    if processor.POSTPONE_CONFIG is not None:
        own: int | None = processor.POSTPONE_CONFIG.max_postpones
        return own
    return get_queue_settings(task.queue_name).DEFAULT_POSTPONES_COUNT


def _ended(task: ClaimedTask, started: float, kind: str, **details: Any) -> Outcome:
    return Outcome(task.id, task.lease, kind, started, time.monotonic(), **details)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as inner:
        return f"<{type(error).__name__}, whose text raised {type(inner).__name__}>"


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as inner:
        return f"<the traceback could not be made: {type(inner).__name__}>"
