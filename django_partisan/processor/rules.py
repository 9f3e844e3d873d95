"""The rules for a processor's attributes, checked when its class is made."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from django_partisan.backoff import MAX_PAUSE_SECONDS
from django_partisan.config.processor_configs import ErrorsHandleConfig, PostponeConfig
from django_partisan.payloads.unique_part import check_names
from django_partisan.processor.retry_delay import check_retry_delay

_CHOICES = {"UNIQUE_UNTIL": ("start", "finish"), "ON_DUPLICATE": ("keep", "replace", "earlier")}
_KINDS = {
    "QUEUE_NAME": (str,),
    "RETRY_ON_ERROR_CONFIG": (ErrorsHandleConfig, type(None)),
    "POSTPONE_CONFIG": (PostponeConfig, type(None)),
    "ATOMIC": (bool,),
    "FRESH_SESSION": (bool,),
    "CAPTURE_OUTPUT": (bool,),
    "SCHEDULABLE": (bool,),
    "THREAD_SAFE": (bool,),
}
_SHORTEST_LIMIT = 0.001
_MIN_PRIORITY, _MAX_PRIORITY = -(2**31), 2**31 - 1


def checked_priority(priority: int, name: str = "priority") -> int:
    """Return a priority that the database can hold; raise TypeError or ValueError naming it."""
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise TypeError(f"{name} takes a whole number, got {priority!r}")
    if not _MIN_PRIORITY <= priority <= _MAX_PRIORITY:
        raise ValueError(f"{name} must be {_MIN_PRIORITY} to {_MAX_PRIORITY}, got {priority}")
    return priority


def accept_old_queue_attribute(cls: type[Any]) -> None:
    """Take QUEUE, the name of 1.6.1, for QUEUE_NAME, with a DeprecationWarning."""
    if "QUEUE" in vars(cls) and "QUEUE_NAME" not in vars(cls):
        warnings.warn(
            f"{cls.__qualname__}.QUEUE is deprecated, write QUEUE_NAME",
            DeprecationWarning,
            stacklevel=3,
        )
        cls.QUEUE_NAME = vars(cls)["QUEUE"]


def check_rules(cls: type[Any]) -> None:
    """Raise TypeError or ValueError, naming class and attribute, for a value that cannot be."""
    checked_priority(cls.PRIORITY, f"{cls.__qualname__}.PRIORITY")
    if cls.TIMEOUT_SECONDS is not None:
        _check_time(cls.TIMEOUT_SECONDS, _SHORTEST_LIMIT, f"{cls.__qualname__}.TIMEOUT_SECONDS")
    _check_time(cls.GRACE_SECONDS, 0, f"{cls.__qualname__}.GRACE_SECONDS")
    if cls.EXPIRES_SECONDS is not None:
        _check_time(cls.EXPIRES_SECONDS, _SHORTEST_LIMIT, f"{cls.__qualname__}.EXPIRES_SECONDS")
    for name, allowed in _CHOICES.items():
        if getattr(cls, name) not in allowed:
            raise ValueError(
                f"{cls.__qualname__}.{name} must be {' or '.join(map(repr, allowed))}, "
                f"got {getattr(cls, name)!r}"
            )
    _check_names(cls, "SENSITIVE_PARAMS")
    check_uniqueness(cls)
    check_retry_delay(cls)
    for name, kinds in _KINDS.items():
        if not isinstance(getattr(cls, name), kinds):
            raise TypeError(
                f"{cls.__qualname__}.{name} must be of type {kinds[0].__name__}, "
                f"got {getattr(cls, name)!r}"
            )


def check_uniqueness(cls: type[Any]) -> None:
    """Raise, naming class and remedy, where the rules for duplicates contradict each other."""
    name = cls.__qualname__
    if cls.UNIQUE_KEY is not None:
        _check_names(cls, "UNIQUE_KEY")
    for attribute in ("UNIQUE_FOR_SECONDS", "DEBOUNCE_SECONDS", "DEBOUNCE_MAX_SECONDS"):
        if getattr(cls, attribute) is not None:
            _check_time(getattr(cls, attribute), _SHORTEST_LIMIT, f"{name}.{attribute}")
    for found in _CONTRADICTIONS:
        if found.is_met(cls):
            raise ValueError(f"{name}.{found.attribute} {found.why}")
    # A decorator, as of a dataclass, may still give it the constructor that counts in the end.
    if "__init__" in vars(cls) or cls._params_model is not None:
        check_names(cls)


def _check_names(cls: type[Any], attribute: str) -> None:
    names = getattr(cls, attribute)
    is_fine = isinstance(names, (tuple, list)) and all(
        isinstance(name, str) and all(name.split(".")) for name in names
    )
    if not is_fine:
        raise TypeError(
            f"{cls.__qualname__}.{attribute} must be a tuple of names of arguments, or of "
            f"paths as 'card.number', got {names!r}"
        )


def _check_time(seconds: float, least: float, name: str) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} takes seconds, got {seconds!r}")
    if not least <= seconds <= MAX_PAUSE_SECONDS:
        raise ValueError(f"{name} must be {least:g} seconds to ten years, got {seconds!r}")


def _is_short_lived(cls: type[Any]) -> bool:
    most, seconds = cls.DEBOUNCE_MAX_SECONDS, cls.DEBOUNCE_SECONDS
    return most is not None and seconds is not None and most < seconds


class _Contradiction(NamedTuple):
    is_met: Callable[[type[Any]], bool]
    attribute: str
    why: str


_CONTRADICTIONS: tuple[_Contradiction, ...] = (
    _Contradiction(
        lambda cls: not cls.UNIQUE_FOR_PARAMS and cls.UNIQUE_KEY is not None,
        "UNIQUE_KEY",
        "says what makes tasks unique, and UNIQUE_FOR_PARAMS = False that nothing does; remove one",
    ),
    _Contradiction(
        lambda cls: not cls.UNIQUE_FOR_PARAMS and cls.UNIQUE_FOR_SECONDS is not None,
        "UNIQUE_FOR_SECONDS",
        "keeps duplicates out, and UNIQUE_FOR_PARAMS = False says there are none; remove one",
    ),
    _Contradiction(
        lambda cls: not cls.UNIQUE_FOR_PARAMS and cls.DEBOUNCE_SECONDS is not None,
        "DEBOUNCE_SECONDS",
        "merges duplicates, and UNIQUE_FOR_PARAMS = False says there are none; remove one",
    ),
    _Contradiction(
        lambda cls: cls.DEBOUNCE_SECONDS is not None and cls.UNIQUE_FOR_SECONDS is not None,
        "DEBOUNCE_SECONDS",
        "runs the last of several calls, UNIQUE_FOR_SECONDS the first; remove one",
    ),
    _Contradiction(
        lambda cls: cls.DEBOUNCE_MAX_SECONDS is not None and cls.DEBOUNCE_SECONDS is None,
        "DEBOUNCE_MAX_SECONDS",
        "does nothing without DEBOUNCE_SECONDS; set that as well, or remove it",
    ),
    _Contradiction(
        _is_short_lived,
        "DEBOUNCE_MAX_SECONDS",
        "is less than DEBOUNCE_SECONDS, so not even one call could wait that long; raise it",
    ),
    _Contradiction(
        lambda cls: cls.DEBOUNCE_SECONDS is not None and cls.UNIQUE_UNTIL != "start",
        "DEBOUNCE_SECONDS",
        "needs UNIQUE_UNTIL = 'start': else a call while the task runs would be lost",
    ),
    _Contradiction(
        lambda cls: cls.DEBOUNCE_SECONDS is not None and cls.ON_DUPLICATE == "earlier",
        "DEBOUNCE_SECONDS",
        "makes the waiting task later, and ON_DUPLICATE = 'earlier' forbids that; remove one",
    ),
)
