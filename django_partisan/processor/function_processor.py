"""The class behind a decorated function: its tasks call the function, under its name."""

from __future__ import annotations

import inspect
import re
from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from asgiref.sync import iscoroutinefunction

from django_partisan.processor.base import BaseTaskProcessor
from django_partisan.processor.function_options import attributes
from django_partisan.registry.registry import registry


class FunctionProcessor(BaseTaskProcessor):
    """Calls a function with the arguments of the task."""

    function: ClassVar[Callable[..., Any]]

    @classmethod
    def check_call(cls, args: Sequence[Any]) -> None:
        """Raise TypeError or ValueError for positional arguments that no signature refuses."""

    def run(self) -> Any:
        """Return what the function returns."""
        return self.function(*self.args, **self.kwargs)

    async def run_coroutine(self) -> Any:
        """Return what the function returns, which is a coroutine: this is its ``run()``."""
        return await self.function(*self.args, **self.kwargs)


class Name(NamedTuple):
    """What a function is called where it is defined."""

    module: str
    qualname: str

    def __str__(self) -> str:
        return f"{self.module}.{self.qualname}"


def registered(
    base: type[FunctionProcessor],
    function: Callable[..., Any],
    name: Name,
    rules: Mapping[str, Any],
    **own: Any,
) -> Any:
    """Return a new class whose tasks call the function, registered under the name.

    Raises TypeError or ValueError for rules that a class could not have, naming the function and
    the option, and ProcessorClassAlreadyRegistered.
    """
    namespace = {
        "__module__": name.module,
        "__qualname__": name.qualname,
        "__doc__": function.__doc__,
        "__init__": _init_taking(own.pop("signature", inspect.signature(function)), name),
        "function": staticmethod(function),
        **own,
        **rules,
    }
    if iscoroutinefunction(function):
        namespace["run"] = base.run_coroutine
    try:
        made = ABCMeta(name.qualname.rpartition(".")[2], (base,), namespace)
        return registry.register(made)
    except TypeError as error:
        raise TypeError(_as_written(error, name)) from error
    except ValueError as error:
        raise ValueError(_as_written(error, name)) from error


def _init_taking(signature: inspect.Signature, name: Name) -> Callable[..., None]:
    """Return a constructor that refuses what the function does not take, and has its signature."""
    shown = signature.replace(return_annotation=signature.empty)

    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            advice = _advice(kwargs.keys() - signature.parameters, name)
            raise TypeError(f"{name}{shown}: {error}{advice}") from None
        self.check_call(args)

    # Longer than any other name, so that none is there twice.
    own = f"_{'_'.join(signature.parameters)}"
    first = inspect.Parameter(own, inspect.Parameter.POSITIONAL_ONLY)
    taken = inspect.Signature([first, *signature.parameters.values()])
    vars(__init__)["__signature__"] = taken
    return __init__


def _advice(unknown: Iterable[str], name: Name) -> str:
    options = inspect.signature(BaseTaskProcessor.delay).parameters
    given = next((each for each in unknown if each in options), None)
    if given is None:
        return ""
    return f"; write {name.qualname}.options({given}=...).delay(...)"


def _as_written(error: Exception, name: Name) -> str:
    """Return what is wrong with a class in the words of its decorator."""
    options = {attribute: option for option, attribute in attributes().items()}
    text = str(error).replace(f"{name.qualname}.", "").replace("its __init__", "it")
    text = re.sub(r"\b[A-Z_]{5,}\b", lambda found: options.get(found[0], found[0]), text)
    return f"@processor of {name}: {text}"
