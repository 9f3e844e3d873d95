"""Running one attempt at a claimed task, which returns exactly one outcome."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.encoding import clean_text, decode_arguments, encode_result
from django_partisan.exceptions import (
    CancelTask,
    FailTask,
    MaxPostponesReached,
    PostponeTask,
    ProcessorClassNotFound,
    TaskCancelled,
)
from django_partisan.masking import has_secrets, scrubbed, secrets_in
from django_partisan.registry.registry import registry
from django_partisan.settings import get_process_settings, get_queue_settings

logger = logging.getLogger(__name__)

FINISHED: Final = "finished"
"""The processor returned."""
RETRIED: Final = "retried"
"""It raised what earns it another attempt."""
POSTPONED: Final = "postponed"
"""It asked for later; that is free."""
FAILED: Final = "failed"
"""It raised what earns it no other attempt."""
RECORDED: Final = "recorded"
"""Finished, and the worker has recorded it itself."""
CANCELLED: Final = "cancelled"
"""It stopped because somebody, or the code itself, asked for that."""
RELEASED: Final = "released"
"""Its manager gives it back, unfinished; that is free."""
CRASHED: Final = "crashed"
"""Its worker or its manager died while it ran."""
ORPHANED: Final = "orphaned"
"""Its manager died before it had started; that is free."""


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
    ``due_at`` (Unix time); RETRIED, FAILED, CANCELLED, CRASHED and ORPHANED an ``error``.
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


class Runner(Protocol):
    """What a worker puts around the code of a task."""

    def run(self, task: ClaimedTask, processor: Any) -> Any:
        """Return what the processor returns."""


Atomically = Callable[[ClaimedTask, Callable[[], Outcome]], Outcome]
"""How to run a task in the transaction that records its end: see :mod:`atomicity`."""


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
        return _ended(task, started, FAILED, error=report(error, task))


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


def judge(
    task: ClaimedTask, processor: Any, error: BaseException, started: float | None
) -> Outcome:
    """Return the outcome of an attempt that raised, by the processor's own rules."""
    if isinstance(error, PostponeTask):
        return _postponed(task, processor, error, started)
    if isinstance(error, (TaskCancelled, CancelTask)):
        return _ended(task, started, CANCELLED, error=report(error, task))
    config = processor.RETRY_ON_ERROR_CONFIG
    retry = task.retries + 1
    if config is not None and _earns_retry(config, error, retry):
        pause = config.get_pause_seconds(retry)
        return _ended(task, started, RETRIED, delay_seconds=pause, error=report(error, task))
    return _ended(task, started, FAILED, error=report(error, task))


def unreportable(outcome: Outcome, error: ValueError) -> Outcome:
    """Return the end in error of an attempt whose outcome cannot travel to the manager."""
    return Outcome(
        outcome.task_id,
        outcome.lease,
        FAILED,
        outcome.started,
        outcome.ended,
        error=report(TypeError(f"The outcome ({outcome.kind}) holds no plain values: {error}")),
    )


def stopped(task: ClaimedTask, error: BaseException, started: float | None) -> Outcome:
    """Return the outcome of an attempt whose worker had to be killed for ``error``."""
    try:
        processor_class = registry.get_processor_class_by_name(task.processor_class)
    except ProcessorClassNotFound:
        return _ended(task, started, FAILED, error=report(error))
    return judge(task, processor_class, error, started)


def report(error: BaseException, task: ClaimedTask | None = None) -> ErrorReport:
    """Return an error as capped, storable text; survives errors that cannot be printed.

    What the task's processor calls secret is masked.
    """
    limit, secrets = get_process_settings().MAX_ERROR_BYTES, _secrets_of(task)
    return ErrorReport(
        clean_text(_name_of(error), 255),
        clean_text(scrubbed(_text_of(error), secrets), limit),
        clean_text(scrubbed(_trace(error), secrets), limit),
    )


def _secrets_of(task: ClaimedTask | None) -> list[str] | None:
    if task is None or not has_secrets(task.processor_class):
        return []
    try:
        args, kwargs = decode_arguments(task.arguments)
    except ValueError:
        return []  # Nobody has read them, so no error can hold them.
    return secrets_in(task.processor_class, {"args": args, "kwargs": kwargs})


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
    return finished(task, started, value)


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
    return finished(task, started, value)


def _run(task: ClaimedTask, processor: Any, runner: Runner | None) -> Any:
    return processor.run() if runner is None else runner.run(task, processor)


def _earns_retry(config: ErrorsHandleConfig, error: BaseException, retry: int) -> bool:
    if isinstance(error, FailTask):
        return False
    return config.matches(error) and config.should_be_retried(retry)


def _postponed(
    task: ClaimedTask, processor: Any, postpone: PostponeTask, started: float | None
) -> Outcome:
    allowed = _allowed_postpones(task, processor)
    if allowed is not None and task.postpones >= allowed:
        error = MaxPostponesReached(allowed)
        error.__traceback__ = postpone.__traceback__
        return _ended(task, started, FAILED, error=report(error, task))
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


def _ended(task: ClaimedTask, started: float | None, kind: str, **details: Any) -> Outcome:
    return Outcome(task.id, task.lease, kind, started, time.monotonic(), **details)


def _name_of(error: BaseException) -> str:
    try:
        name = f"{type(error).__module__}.{type(error).__qualname__}"
    except BaseException:
        name = _bare_name(error)
    return name.removeprefix("builtins.")


def _bare_name(error: BaseException) -> str:
    # Past a metaclass that has its own idea of names.
    return str(type.__dict__["__name__"].__get__(type(error)))


def _text_of(error: BaseException) -> str:
    try:
        # A subclass of str has methods of its own, and does not travel.
        return str.__str__(str(error))
    except BaseException as inner:
        return f"<{_bare_name(error)}, whose text raised {_bare_name(inner)}>"


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as inner:
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"{frames}<the rest of the traceback could not be made: {_bare_name(inner)}>"
