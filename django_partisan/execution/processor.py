"""What an attempt reads of a processor, however its class was made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, Protocol

from django_partisan.attempt import ClaimedTask
from django_partisan.config.processor_configs import ErrorsHandleConfig, PostponeConfig


class Rules(Protocol):
    """By what an attempt that raised is judged: a processor has these, and so has its class."""

    RETRY_ON_ERROR_CONFIG: ClassVar[ErrorsHandleConfig | None]
    POSTPONE_CONFIG: ClassVar[PostponeConfig | None]
    has_come_further: bool
    """Whether an error is to cost no retry that was used before."""


class Processor(Rules, Protocol):
    """What runs a task."""

    ATOMIC: ClassVar[bool]
    FRESH_SESSION: ClassVar[bool]
    TIMEOUT_SECONDS: ClassVar[float | None]
    GRACE_SECONDS: ClassVar[float]
    runs_async: ClassVar[bool]

    @property
    def task_obj(self) -> Any:
        """The task's row."""

    def bind(self, task: ClaimedTask) -> None:
        """Tie the processor to the claimed task that it runs."""

    def run(self) -> Any:
        """Do the work; return what is kept as its result, or a coroutine if it runs async."""

    def retry_delay(self, error: Any, attempt: int, /) -> timedelta | float | None:
        """Return the pause before a retry, None for the configured one."""


def may_share(processor_class: Any) -> bool:
    """Say whether tasks of a class may run in a process beside others."""
    is_able = processor_class.runs_async or processor_class.THREAD_SAFE
    return bool(is_able and not processor_class.ATOMIC)
