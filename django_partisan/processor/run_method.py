"""The check that a class's `run` does its work when it is called as `self.run()`."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from asgiref.sync import iscoroutinefunction

from django_partisan.config.wording import shown

_PLAIN = "write a plain method, def run(self), that does the work before it returns"
_SYNC = "write a plain def run(self), and call asgiref.sync.async_to_sync(...)() in it"


def check_run(cls: type[Any]) -> None:
    """Raise TypeError, naming class and remedy, for a ``run`` that would not be run.

    Whatever a decorator has made of it counts, not what is inside: that may await and iterate.
    """
    run = inspect.getattr_static(cls, "run")
    if getattr(run, "__isabstractmethod__", False):
        return
    fault = _fault_of(run)
    if fault:
        raise TypeError(f"{cls.__qualname__}.run {fault}")


def _fault_of(run: Any) -> str:
    function = _function_of(run)
    if isinstance(run, (property, functools.cached_property)):
        return f"is a property, and nothing would call it; {_PLAIN}"
    if inspect.isasyncgenfunction(function):
        return f"is an asynchronous generator, and nothing would iterate over it; {_SYNC}"
    if inspect.isgeneratorfunction(function):
        return (
            "is a generator (it has a yield), and nothing would iterate over it: its code would "
            f"never run; {_PLAIN}"
        )
    if iscoroutinefunction(function):
        return f"is a coroutine (async def), and nothing would await it; {_SYNC}"
    if isinstance(function, type) or not callable(function):
        return f"must be a method, got {shown(run)}; {_PLAIN}"
    return _fault_of_signature(run)


def _function_of(run: Any) -> Any:
    """Return the innermost function that a call of ``run`` calls, without what it wraps."""
    while True:
        if isinstance(run, (staticmethod, classmethod)):
            run = run.__func__
        elif isinstance(run, (functools.partial, functools.partialmethod)):
            run = run.func
        elif inspect.ismethod(run):
            run = run.__func__
        else:
            return run


def _fault_of_signature(run: Any) -> str:
    function = run.__func__ if isinstance(run, (staticmethod, classmethod)) else run
    if not inspect.isfunction(function):
        return ""  # an object that knows itself how it is called
    own = () if isinstance(run, staticmethod) else (None,)
    try:
        # A decorator's function may take other arguments than the function that it wraps.
        inspect.signature(function, follow_wrapped=False).bind(*own)
    except TypeError as error:
        return (
            f"cannot be called without arguments ({error}); write def run(self), and read the "
            "arguments of the task from self.args and self.kwargs"
        )
    return ""
