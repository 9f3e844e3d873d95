"""The rules for what an IterationProcessor is told, checked when its class is made."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any, Final

from asgiref.sync import iscoroutinefunction

from django_partisan.backoff import MAX_PAUSE_SECONDS
from django_partisan.config.wording import shown
from django_partisan.processor.run_method import function_of

_SWITCHES: Final = ("EACH_ATOMIC", "COUNT", "RESUME_AFTER_PROGRESS")
_COUNTS: Final = {"BATCH": 1, "MIN_PROGRESS": 1, "MAX_RESUMPTIONS": 0}


def check_iteration(cls: type[Any]) -> None:
    """Raise TypeError or ValueError, naming class and remedy, for what cannot be."""
    name = cls.__qualname__
    _check_switches_and_counts(cls, name)
    if cls.MAX_RUNTIME_SECONDS is not None:
        _check_seconds(cls.MAX_RUNTIME_SECONDS, f"{name}.MAX_RUNTIME_SECONDS")
    if cls.ATOMIC:
        raise ValueError(
            f"{name}.ATOMIC makes one transaction of all items, so none could be saved before the "
            "last; set EACH_ATOMIC = True instead, which makes one of each"
        )
    each = function_of(inspect.getattr_static(cls, "each"))
    if iscoroutinefunction(each) or inspect.isgeneratorfunction(each):
        raise TypeError(
            f"{name}.each must be a plain method that does the work before it returns; call "
            "asgiref.sync.async_to_sync(...)() in it where something has to be awaited"
        )


def checked_pause(pause: Any, name: str) -> float:
    """Return what throttle() has returned in seconds, 0 for None; raise for what is no pause."""
    if pause is None:
        return 0.0
    seconds = pause.total_seconds() if isinstance(pause, timedelta) else pause
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(
            f"{name}.throttle() must return seconds, a timedelta, or None, got {shown(pause)}"
        )
    if not 0 <= seconds <= MAX_PAUSE_SECONDS:
        raise ValueError(f"{name}.throttle() must return 0 to ten years, got {shown(pause)}")
    return float(seconds)


def _check_switches_and_counts(cls: type[Any], name: str) -> None:
    for attribute in _SWITCHES:
        if not isinstance(getattr(cls, attribute), bool):
            raise TypeError(f"{name}.{attribute} is True or False, got {getattr(cls, attribute)!r}")
    for attribute, least in _COUNTS.items():
        value = getattr(cls, attribute)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name}.{attribute} takes a whole number, got {value!r}")
        if value < least:
            raise ValueError(f"{name}.{attribute} must be {least} or more, got {value}")


def _check_seconds(seconds: Any, name: str) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} takes seconds or None, got {seconds!r}")
    if not 0 < seconds <= MAX_PAUSE_SECONDS:
        raise ValueError(f"{name} must be more than 0 seconds, to ten years, got {seconds!r}")
