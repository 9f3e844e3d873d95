"""Moments and times that `.delay()` was given, checked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from django_partisan.backoff import MAX_PAUSE_SECONDS
from django_partisan.config.moments import in_utc
from django_partisan.database.values import Expiry, Repeat

_SHORTEST_REPEAT: Final = 0.001


def due_time(given: datetime | timedelta | float | None) -> tuple[datetime | None, float]:
    """Return ``execute_after`` as a moment in UTC, or as seconds from now where it is none.

    Raises ValueError for anything that is no time, or none that can be.
    """
    match given:
        case None:
            return None, 0.0
        case datetime():
            return in_utc(given, "execute_after"), 0.0
        case timedelta():
            return None, _checked_wait(given.total_seconds())
        case int() | float() if not isinstance(given, bool):
            return None, _checked_wait(given)
    raise ValueError(f"execute_after takes a datetime, a timedelta or seconds, got {given!r}")


def repeat_of(
    seconds: timedelta | float | None, until: datetime | None, due_at: datetime | None
) -> Repeat | None:
    """Return ``repeat`` and ``repeat_until`` as one value, None where neither is given.

    Raises TypeError for what is no time or no moment, ValueError where there is no such chain: no
    time between its links, no links, or an end before its first one.
    """
    if seconds is None:
        if until is None:
            return None
        raise ValueError("repeat_until ends a chain of repeats; give repeat=seconds as well")
    between = _checked_repeat(seconds)
    if until is None:
        return Repeat(between, None)
    if not isinstance(until, datetime):
        raise TypeError(f"repeat_until takes a datetime, got {until!r}")
    end = in_utc(until, "repeat_until")
    if end < (due_at or datetime.now(UTC)):
        raise ValueError(
            f"repeat_until={until!r} is before the task is due; leave repeat away to run it once"
        )
    return Repeat(between, end)


def expiry_of(given: datetime | timedelta | float, due_at: datetime | None) -> Expiry:
    """Return ``expires`` as a moment in UTC, or as seconds from when the task is due.

    Raises ValueError for what is no time, or would keep the task from ever starting. A moment that
    has passed already is none of these: it may only just have.
    """
    match given:
        case datetime():
            moment = in_utc(given, "expires")
            if due_at is not None and moment <= due_at:
                raise ValueError(
                    f"expires={given!r} is not after execute_after={due_at!r}, so the task would"
                    " never start; give a later moment"
                )
            return Expiry(moment, None)
        case timedelta():
            return Expiry(None, _checked_expiry(given.total_seconds()))
        case int() | float() if not isinstance(given, bool):
            return Expiry(None, _checked_expiry(given))
    raise ValueError(f"expires takes a datetime, a timedelta or seconds, got {given!r}")


def _checked_wait(seconds: float) -> float:
    if not -MAX_PAUSE_SECONDS <= seconds <= MAX_PAUSE_SECONDS:
        raise ValueError(
            "execute_after takes a wait of at most ten years; give a datetime for a later moment"
        )
    return float(seconds)


def _checked_expiry(seconds: float) -> float:
    if not 0 < seconds <= MAX_PAUSE_SECONDS:
        raise ValueError(
            f"expires takes more than 0 seconds and at most ten years, got {seconds!r}; it counts"
            " from the moment at which the task is due"
        )
    return float(seconds)


def _checked_repeat(given: timedelta | float) -> float:
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"repeat takes seconds or a timedelta, got {given!r}")
    if not _SHORTEST_REPEAT <= seconds <= MAX_PAUSE_SECONDS:
        raise ValueError(
            f"repeat must be {_SHORTEST_REPEAT:g} seconds to ten years, got {given!r}; "
            "leave it away for a task that runs once"
        )
    return float(seconds)
