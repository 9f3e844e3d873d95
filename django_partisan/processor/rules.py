"""The rules for a processor's attributes, checked when its class is made."""

from __future__ import annotations

import warnings
from typing import Any

from django_partisan.backoff import MAX_PAUSE_SECONDS
from django_partisan.config.processor_configs import ErrorsHandleConfig, PostponeConfig

_CHOICES = {"UNIQUE_UNTIL": ("start", "finish"), "ON_DUPLICATE": ("keep", "replace", "earlier")}
_KINDS = {
    "QUEUE_NAME": (str,),
    "RETRY_ON_ERROR_CONFIG": (ErrorsHandleConfig, type(None)),
    "POSTPONE_CONFIG": (PostponeConfig, type(None)),
    "ATOMIC": (bool,),
    "FRESH_SESSION": (bool,),
    "SCHEDULABLE": (bool,),
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
    for name, allowed in _CHOICES.items():
        if getattr(cls, name) not in allowed:
            raise ValueError(
                f"{cls.__qualname__}.{name} must be {' or '.join(map(repr, allowed))}, "
                f"got {getattr(cls, name)!r}"
            )
    _check_names(cls, cls.SENSITIVE_PARAMS)
    for name, kinds in _KINDS.items():
        if not isinstance(getattr(cls, name), kinds):
            raise TypeError(
                f"{cls.__qualname__}.{name} must be of type {kinds[0].__name__}, "
                f"got {getattr(cls, name)!r}"
            )


def _check_names(cls: type[Any], names: Any) -> None:
    is_fine = isinstance(names, (tuple, list)) and all(
        isinstance(name, str) and all(name.split(".")) for name in names
    )
    if not is_fine:
        raise TypeError(
            f"{cls.__qualname__}.SENSITIVE_PARAMS must be a tuple of names of arguments, or of "
            f"paths as 'card.number', got {names!r}"
        )


def _check_time(seconds: float, least: float, name: str) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} takes seconds, got {seconds!r}")
    if not least <= seconds <= MAX_PAUSE_SECONDS:
        raise ValueError(f"{name} must be {least:g} seconds to ten years, got {seconds!r}")
