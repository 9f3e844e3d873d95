"""The check that a class's `run` does its work when it is called as `self.run()`."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from asgiref.sync import iscoroutinefunction

from django_partisan.config.wording import shown

_WRITE_RUN = (
    "write def run(self), and read the arguments of the task from self.args and self.kwargs"
)
_PLAIN = "write a plain method, def run(self), that does the work before it returns"
_ASYNC = "write async def run(self), and iterate over it in there"


def check_run(cls: type[Any]) -> None:
    """Raise TypeError, naming class and remedy, for a ``run`` that would not be run.

    Whatever a decorator has made of it counts, not what is inside: that may await and iterate.
    """
    run = inspect.getattr_static(cls, "run")
    if getattr(run, "__isabstractmethod__", False):
        return
    fault = _fault_of(run)
    if not fault and cls.ATOMIC and runs_async(cls):
        fault = (
            "is a coroutine (async def), which can be no part of a transaction, and ATOMIC = True "
            "asks for that; write a plain def run(self), which may call "
            "asgiref.sync.async_to_sync(...)(), or leave ATOMIC out"
        )
    if fault:
        raise TypeError(f"{cls.__qualname__}.run {fault}")


def runs_async(cls: type[Any]) -> bool:
    """Say whether what a call of a class's ``run`` returns has to be awaited."""
    return iscoroutinefunction(function_of(inspect.getattr_static(cls, "run")))


def _fault_of(run: Any) -> str:
    function = function_of(run)
    if isinstance(run, (property, functools.cached_property)):
        return f"is a property, and nothing would call it; {_PLAIN}"
    if inspect.isasyncgenfunction(function):
        return f"is an asynchronous generator, and nothing would iterate over it; {_ASYNC}"
    if inspect.isgeneratorfunction(function):
        return (
            "is a generator (it has a yield), and nothing would iterate over it: its code would "
            f"never run; {_PLAIN}"
        )
    if isinstance(function, type) or not callable(function):
        return f"must be a method, got {shown(run)}; {_PLAIN}"
    refusal = refusal_of(run, 0)
    return refusal and f"cannot be called without arguments ({refusal}); {_WRITE_RUN}"


def function_of(method: Any) -> Any:
    """Return the innermost function that a call of a method calls, without what it wraps."""
    while True:
        if isinstance(method, (staticmethod, classmethod)):
            method = method.__func__
        elif isinstance(method, (functools.partial, functools.partialmethod)):
            method = method.func
        elif inspect.ismethod(method):
            method = method.__func__
        else:
            return method


def refusal_of(method: Any, count: int) -> str:
    """Say why a method cannot be called with so many arguments; nothing when it can."""
    function = method.__func__ if isinstance(method, (staticmethod, classmethod)) else method
    if not inspect.isfunction(function):
        return ""  # an object that knows itself how it is called
    given = (None,) * (count if isinstance(method, staticmethod) else count + 1)
    try:
        # A decorator's function may take other arguments than the function that it wraps.
        inspect.signature(function, follow_wrapped=False).bind(*given)
    except TypeError as error:
        return str(error)
    return ""
