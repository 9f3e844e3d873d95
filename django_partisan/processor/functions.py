"""What a decorated function is: itself, and the processor that runs it as tasks."""

from __future__ import annotations

import functools
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Self,
    TypeVar,
    overload,
)

from django_partisan.processor.async_delay import in_its_thread
from django_partisan.processor.base import BaseTaskProcessor
from django_partisan.processor.function_options import takes_options_of
from django_partisan.processor.function_processor import FunctionProcessor, Name, registered

if TYPE_CHECKING:
    from django_partisan.models import Task

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")


class Delayable(Generic[P, R], metaclass=ABCMeta):
    """What can be called, and can be called by a worker."""

    @abstractmethod
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here, as if it were not decorated."""

    @property
    @abstractmethod
    def processor(self) -> type[BaseTaskProcessor]:
        """The registered class whose tasks call the function."""

    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> Task:
        """Store a task that calls the function with these arguments, and return it.

        All arguments are those of the function; what :meth:`.BaseTaskProcessor.delay` takes is
        given by :meth:`options`. Raises as that does, and TypeError for arguments that the function
        does not take.
        """
        return self.step(*args, **kwargs).delay()

    def delay_many(self, items: Iterable[Sequence[Any]]) -> list[Task]:
        """Store a task for each tuple of positional arguments, and return them in that order.

        As :meth:`.BaseTaskProcessor.delay_many`, whose options are given by :meth:`options`.
        """
        processor_class, items = self._made_many(items)
        return processor_class.delay_many(items)

    async def adelay(self, /, *args: P.args, **kwargs: P.kwargs) -> Task:
        """Store a task from asynchronous code: as :meth:`delay`, in the thread of such code.

        What that means for transactions is said at :meth:`.BaseTaskProcessor.adelay`.
        """
        return await in_its_thread(self.delay, *args, **kwargs)

    async def adelay_many(self, items: Iterable[Sequence[Any]]) -> list[Task]:
        """Store a task for each tuple from asynchronous code: as :meth:`delay_many`."""
        return await in_its_thread(self.delay_many, items)

    @takes_options_of(BaseTaskProcessor.delay)
    def options(self, **options: Any) -> WithOptions[P]:
        """Return what stores tasks with these options, by its ``delay``, ``adelay`` and so on.

        They are those of :meth:`.BaseTaskProcessor.delay`, and are checked when it is called.
        """
        return WithOptions(self, options)

    @overload
    def run_now(
        self: Delayable[P, Coroutine[Any, Any, S]], /, *args: P.args, **kwargs: P.kwargs
    ) -> S: ...

    @overload
    def run_now(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def run_now(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the function here as a worker would; see :meth:`.BaseTaskProcessor.run_now`."""
        return self.step(*args, **kwargs).run_now()

    @abstractmethod
    def step(self, /, *args: P.args, **kwargs: P.kwargs) -> BaseTaskProcessor:
        """Return the processor of a call: what ``chain()`` and ``group()`` take as a step.

        Nothing is stored. Raises TypeError for arguments that the function does not take.
        """

    @abstractmethod
    def _made_many(
        self, items: Iterable[Sequence[Any]]
    ) -> tuple[type[BaseTaskProcessor], Iterable[Any]]:
        """Return the class for many calls, and what its ``delay_many`` takes."""


class WithOptions(Generic[P]):
    """A function with the options of the tasks that are about to be stored."""

    def __init__(self, function: Delayable[P, Any], options: Mapping[str, Any]) -> None:
        self._function = function
        self._options = options

    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> Task:
        """Store a task with the options, as :meth:`ProcessorFunction.delay`."""
        return self._function.step(*args, **kwargs).delay(**self._options)

    def delay_many(self, items: Iterable[Sequence[Any]]) -> list[Task]:
        """Store tasks with the options, as :meth:`ProcessorFunction.delay_many`."""
        processor_class, items = self._function._made_many(items)  # noqa: SLF001
        return processor_class.delay_many(items, **self._options)

    async def adelay(self, /, *args: P.args, **kwargs: P.kwargs) -> Task:
        """Store a task with the options, as :meth:`ProcessorFunction.adelay`."""
        return await in_its_thread(self.delay, *args, **kwargs)

    async def adelay_many(self, items: Iterable[Sequence[Any]]) -> list[Task]:
        """Store tasks with the options, as :meth:`ProcessorFunction.adelay_many`."""
        return await in_its_thread(self.delay_many, items)


class ProcessorFunction(Delayable[P, R]):
    """A function that ``@processor`` has decorated.

    Called, it is the function. Its tasks are stored under the name of the function, and their
    ``processor`` is a class that is registered under it.
    """

    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, R]
    _processor: type[FunctionProcessor]

    def __init__(self, function: Callable[P, R]) -> None:
        functools.update_wrapper(self, function)

    @classmethod
    def of(cls, function: Callable[P, R], rules: Mapping[str, Any]) -> Self:
        """Return a function of a module with its processor; raise as ``registered`` does."""
        made = cls(function)
        made._processor = registered(FunctionProcessor, function, made.full_name, rules)
        return made

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.__wrapped__(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<processor {self.full_name}>"

    def __reduce__(self) -> str:
        # It is found by its name, as a function is.
        return self.__qualname__

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...

    @overload
    def __get__(
        self: ProcessorFunction[Concatenate[S, Q], R], instance: S, owner: type[Any] | None = None
    ) -> Delayable[Q, R]: ...

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    @property
    def full_name(self) -> Name:
        """What it is called where it is defined, and what its tasks are stored under."""
        return Name(self.__module__, self.__qualname__)

    @property
    def processor(self) -> type[BaseTaskProcessor]:
        """The registered class whose tasks call the function."""
        return self._processor

    def step(self, /, *args: P.args, **kwargs: P.kwargs) -> BaseTaskProcessor:
        """Return the processor of a call, as a step of a flow."""
        return self.processor(*args, **kwargs)

    def _made_many(
        self, items: Iterable[Sequence[Any]]
    ) -> tuple[type[BaseTaskProcessor], Iterable[Any]]:
        return self.processor, items
