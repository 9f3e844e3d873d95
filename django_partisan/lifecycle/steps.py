"""What a flow takes as one task, and what it says of anything else."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol, runtime_checkable

from django.db.models import Model

from django_partisan.config.wording import shown
from django_partisan.database.values import NewTask


@runtime_checkable
class Storable(Protocol):
    """A processor with its arguments, bound to no task."""

    def as_new_task(self, *, creator: Model | None = None, tags: Sequence[str] = ()) -> NewTask:
        """Return the task that `.delay()` would store, without a key."""


def is_storable(step: object) -> bool:
    """Say whether a step is a processor with its arguments."""
    return isinstance(step, Storable) and not isinstance(step, type)


def refuse(taker: str, step: object, also: str = "") -> NoReturn:
    """Raise TypeError that says what a step may be, and how this one can be made into one.

    ``taker`` is who takes steps, with the verb: ``chain() takes``.
    """
    raise TypeError(f"{taker} {_what_it_takes(step, also)}")


def _what_it_takes(step: Any, also: str) -> str:
    arguments = "processors with their arguments, got"
    if isinstance(step, type):
        return f"{arguments} the class {step.__name__}; write {step.__name__}(...)"
    if callable(step) and hasattr(step, "step"):
        name = step.__qualname__
        return f"{arguments} {name} without any; write {name}.step(...)"
    if inspect.isroutine(step):
        return f"processors, got {_undecorated(step)}"
    return f"processors, as MyProcessor(17) or my_function.step(17){also}; got {shown(step)}"


def _undecorated(function: Any) -> str:
    kind, name = "function", function.__qualname__
    if inspect.ismethod(function):
        owner = function.__self__
        kind, owner = "method", owner if isinstance(owner, type) else type(owner)
        name = f"{owner.__qualname__}.{function.__name__}"
    named = f"the {kind} {name}, which is none"
    if "<" in name:  # a lambda, or one that is local to another one
        return f"{named}; make it a function of a module, with @processor, and write name.step(...)"
    return f"{named}; decorate it with @processor, and write {name}.step(...)"
