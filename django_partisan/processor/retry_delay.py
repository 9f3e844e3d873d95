"""The check that a class's `retry_delay` can be asked for the pause before a retry."""

from __future__ import annotations

import inspect
from typing import Any, Final

from asgiref.sync import iscoroutinefunction

from django_partisan.config.wording import shown
from django_partisan.processor.run_method import function_of, refusal_of

_WRITE: Final = (
    "write def retry_delay(self, error, attempt), which returns seconds, a timedelta, or None for "
    "the pause of RETRY_ON_ERROR_CONFIG"
)


def check_retry_delay(cls: type[Any]) -> None:
    """Raise TypeError, naming class and remedy, for a ``retry_delay`` that gives no pause."""
    fault = _fault_of(inspect.getattr_static(cls, "retry_delay"))
    if fault:
        raise TypeError(f"{cls.__qualname__}.retry_delay {fault}; {_WRITE}")


def _fault_of(method: Any) -> str:
    function = function_of(method)
    if isinstance(function, type) or not callable(function):
        return f"must be a method, got {shown(method)}"
    if iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "is asynchronous, and nothing would await it"
    if inspect.isgeneratorfunction(function):
        return "is a generator (it has a yield), and nothing would iterate over it"
    refusal = refusal_of(method, 2)
    return refusal and f"cannot be called with an error and a number ({refusal})"
