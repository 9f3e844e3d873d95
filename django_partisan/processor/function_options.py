"""The options of functions that are processors: those of `@processor`, and those of one task."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Final, Literal, ParamSpec, TypedDict, TypeVar

from django_partisan.config.processor_configs import ErrorsHandleConfig, PostponeConfig
from django_partisan.config.schedules import Schedule
from django_partisan.config.wording import close_match
from django_partisan.processor.attributes import Attributes
from django_partisan.processor.review import attribute_meant

O = ParamSpec("O")  # noqa: E741 - as P is for parameters
S = TypeVar("S")
T = TypeVar("T")


_OF_CLASSES: Final = frozenset({"SCHEMA_VERSION"})
"""What only a class can have, with what it needs beside it."""


class Rules(TypedDict, total=False):
    """The attributes of a processor in lower case, as ``@processor`` takes them."""

    priority: int
    queue_name: str
    unique_for_params: bool
    unique_until: Literal["start", "finish"]
    on_duplicate: Literal["keep", "replace", "earlier"]
    unique_key: Sequence[str] | None
    unique_for_seconds: float | None
    debounce_seconds: float | None
    debounce_max_seconds: float | None
    retry_on_error_config: ErrorsHandleConfig | None
    postpone_config: PostponeConfig | None
    sensitive_params: Sequence[str]
    atomic: bool
    fresh_session: bool
    capture_output: bool
    thread_safe: bool
    timeout_seconds: float | None
    grace_seconds: float
    expires_seconds: float | None
    aliases: tuple[str, ...]
    schedules: Sequence[Schedule]
    schedulable: bool


def attributes() -> dict[str, str]:
    """Return the attributes of a processor by the names that they have as options."""
    names = (name for name in vars(Attributes) if name.isupper())
    return {name.lower(): name for name in names if name not in _OF_CLASSES}


def attributes_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return options as attributes of a class; raise TypeError with what was meant."""
    known = attributes()
    for name, value in options.items():
        if name not in known:
            raise TypeError(f"there is no option {name}={_advice(name, value, known)}")
    return {known[name]: value for name, value in options.items()}


def takes_options_of(
    delay: Callable[Concatenate[Any, O], Any],
) -> Callable[[Callable[Concatenate[S, ...], T]], Callable[Concatenate[S, O], T]]:
    """Give a method, which hands its options on to ``delay``, the signature of that."""

    def decorated(method: Callable[Concatenate[S, ...], T]) -> Callable[Concatenate[S, O], T]:
        returned = inspect.signature(method).return_annotation
        signature = inspect.signature(delay).replace(return_annotation=returned)
        vars(method)["__signature__"] = signature
        return method

    return decorated


def _advice(name: str, value: Any, known: dict[str, str]) -> str:
    meant = attribute_meant(name.upper(), value) or close_match(name, known)
    if meant:
        return f"; did you mean {meant.lower()}=?"
    return f"; options are {', '.join(sorted(known))}, the attributes of a class in lower case"
