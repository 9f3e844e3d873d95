"""The two configs of a processor: what it does with errors, and with postpones."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import random as _random
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from django_partisan import backoff
from django_partisan.config import const

Seconds = Annotated[float, Field(ge=0, le=backoff.MAX_PAUSE_SECONDS, allow_inf_nan=False)]
Errors = Sequence[type[Exception]]  # a tuple once validated; users write lists

_PAUSES: dict[str, Callable[[float, int], float]] = {
    const.DELAY_STRATEGY_CONSTANT: backoff.constant_pause,
    const.DELAY_STRATEGY_INCREMENTAL: backoff.incremental_pause,
    const.DELAY_STRATEGY_EXPONENTIAL: backoff.exponential_pause,
}


class ErrorsHandleConfig(BaseModel):
    """Which errors earn another attempt, how many, and how long to wait before each.

    Tries count from 1: try 1 is the first retry. With `retry_pause=3` the waits are 3, 3, 3
    (constant), 3, 6, 9 (incremental) or 3, 6, 12 seconds (exponential), never above `max_pause`
    and made shorter by a random part of up to `jitter` (0 to 1). `retries_count=None` never gives
    up; an error in `never_retry` always does. A wrong value raises ValueError naming the field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    retry_on_errors: Errors
    retries_count: Annotated[int, Field(ge=1)] | None
    retry_pause: Seconds
    retry_pause_strategy: str = const.DELAY_STRATEGY_CONSTANT
    max_pause: Seconds | None = None
    jitter: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    never_retry: Errors = ()

    def should_be_retried(self, try_num: int) -> bool:
        """Say whether retry number `try_num` is still allowed."""
        return self.retries_count is None or try_num <= self.retries_count

    def shoud_be_retried(self, try_num: int) -> bool:
        """Do as `should_be_retried`; this is how 1.6.1 spelt it."""
        return self.should_be_retried(try_num)

    def matches(self, error: BaseException) -> bool:
        """Say whether this error is one to retry on."""
        if isinstance(error, tuple(self.never_retry)):
            return False
        return isinstance(error, tuple(self.retry_on_errors))

    def get_pause_seconds(self, try_num: int, random: backoff.Random = _random) -> float:
        """Return how long to wait before retry number `try_num`."""
        pause = _PAUSES[self.retry_pause_strategy](self.retry_pause, try_num)
        return backoff.jittered(backoff.bounded(pause, self.max_pause), self.jitter, random)

    def get_new_datetime_for_retry(self, try_num: int, now: datetime | None = None) -> datetime:
        """Return the aware moment of retry number `try_num`, counted from `now`.

        Raises RuntimeError when that retry is not allowed any more.
        """
        if not self.should_be_retried(try_num):
            raise RuntimeError(f"Retry {try_num} is one too many: retries_count is reached")
        moment = datetime.now(UTC) if now is None else now
        return moment + timedelta(seconds=self.get_pause_seconds(try_num))

    @field_validator("retry_on_errors", "never_retry", mode="before")
    @classmethod
    def _must_be_exception_classes(cls, given: Any) -> Any:
        # pydantic turns ValueError into its own error, and lets TypeError through as it is.
        if not isinstance(given, (tuple, list, set, frozenset)):
            raise ValueError(f"must be a list of exception classes, got {given!r}")  # noqa: TRY004
        for item in given:
            if not (isinstance(item, type) and issubclass(item, Exception)):
                raise ValueError(f"must hold subclasses of Exception only, got {item!r}")  # noqa: TRY004
        return tuple(given)

    @field_validator("retry_on_errors")
    @classmethod
    def _must_not_be_empty(cls, errors: Errors) -> Errors:
        if not errors:
            raise ValueError("retry_on_errors must name at least one exception class")
        return errors

    @field_validator("retry_pause_strategy")
    @classmethod
    def _must_be_known(cls, strategy: str) -> str:
        if strategy not in const.DELAY_STRATEGIES:
            raise ValueError(
                "retry_pause_strategy must be DELAY_STRATEGY_CONSTANT, DELAY_STRATEGY_INCREMENTAL "
                "or DELAY_STRATEGY_EXPONENTIAL of django_partisan.config.const"
            )
        return strategy

    @model_validator(mode="after")
    def _must_not_exclude_everything(self) -> Self:
        if all(issubclass(error, tuple(self.never_retry)) for error in self.retry_on_errors):
            raise ValueError("never_retry leaves nothing of retry_on_errors to retry on")
        return self


class PostponeConfig(BaseModel):
    """How often a task may be postponed: `max_postpones` times, or for ever when None.

    It wins over DEFAULT_POSTPONES_COUNT of the queue. A wrong value raises ValueError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max_postpones: Annotated[int, Field(ge=0)] | None
