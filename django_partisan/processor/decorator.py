"""The decorator that makes a processor of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar, Unpack, overload

from django_partisan.config.wording import shown
from django_partisan.processor.function_options import Rules, attributes_of
from django_partisan.processor.function_processor import Name
from django_partisan.processor.functions import ProcessorFunction
from django_partisan.processor.methods import ProcessorMethod, takes_object

P = ParamSpec("P")
R = TypeVar("R")

_NOTHING: Any = object()
_ASYNC: Final = "write an async def that iterates over it"


@overload
def processor(function: Callable[P, R], /, **options: Unpack[Rules]) -> ProcessorFunction[P, R]: ...


@overload
def processor(
    **options: Unpack[Rules],
) -> Callable[[Callable[P, R]], ProcessorFunction[P, R]]: ...


def processor(function: Any = _NOTHING, /, **options: Any) -> Any:
    """Make a processor of a function: ``@processor``, or ``@processor(priority=5, ...)``.

    The options are the attributes of a processor in lower case. The function can be called as
    before, and has ``delay``, ``delay_many``, ``options``, ``run_now`` and ``processor``; see
    :class:`~django_partisan.processor.functions.ProcessorFunction`. It is registered under its
    module and its name, in a module that workers load, as a class is.

    It may be ``async def``. Raises TypeError for what no worker could call by that name or would
    wait for (a local function, a lambda, a generator), and for an unknown option; TypeError or
    ValueError for a wrong value of an option, ProcessorClassAlreadyRegistered for a name that is
    taken. Each names the function.
    """
    if function is _NOTHING:
        return partial(_decorated, options=options)
    return _decorated(function, options)


def _decorated(function: Any, options: dict[str, Any]) -> ProcessorFunction[Any, Any]:
    _check(function)
    name = Name(function.__module__, function.__qualname__)
    try:
        rules = attributes_of(options)
    except TypeError as error:
        raise TypeError(f"@processor of {name}: {error}") from None
    if "." in function.__qualname__:
        return ProcessorMethod(function, rules)
    return ProcessorFunction.of(function, rules)


def _check(function: Any) -> None:
    """Raise TypeError, naming function and remedy, for what can be no processor."""
    if not inspect.isfunction(function):
        raise TypeError(f"@processor decorates functions: {_fault_of_other(function)}")
    fault = _fault_of_name(function) or _fault_of_kind(function)
    if fault:
        raise TypeError(f"@processor of {function.__module__}.{function.__qualname__}: it {fault}")


def _fault_of_other(given: Any) -> str:
    if isinstance(given, type):
        return (
            f"{given.__module__}.{given.__qualname__} is a class: derive it from "
            "BaseTaskProcessor, and decorate it with @registry.register"
        )
    if isinstance(given, ProcessorFunction):
        return f"{given!r} is decorated already: decorate it once"
    if isinstance(given, (staticmethod, classmethod)):
        return f"{_name_of(given)} is no method of an object: make it a function of its module"
    if not callable(given):
        return f"got {shown(given)}; write options by their names, @processor(queue_name=...)"
    return f"{_name_of(given)} is an object that can be called: write a function that calls it"


def _name_of(given: Any) -> str:
    name = getattr(given, "__qualname__", None)
    return shown(given) if name is None else f"{given.__module__}.{name}"


def _fault_of_name(function: Any) -> str:
    if function.__name__ == "<lambda>":
        return "is a lambda, which has no name to be stored under; write a def in its module"
    if "<locals>" in function.__qualname__:
        return (
            "is a local function, which no worker could find; move it to the top of its module, or "
            "use functools.wraps where a decorator below @processor has made it"
        )
    if "." in function.__qualname__ and not takes_object(function):
        return "is a method without a self; give it one, or make it a function of its module"
    return ""


def _fault_of_kind(function: Any) -> str:
    if inspect.isasyncgenfunction(function):
        return f"is an asynchronous generator, and nothing would iterate over it; {_ASYNC}"
    if inspect.isgeneratorfunction(function):
        return (
            "is a generator (it has a yield), and nothing would iterate over it: its code would "
            "never run; return a list, or do the work in a loop"
        )
    return ""
