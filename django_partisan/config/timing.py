"""When a schedule is due: the instants of a line of cron, or of an interval."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile
from typing import Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings

from django_partisan.config.cron import Cron
from django_partisan.config.wording import did_you_mean

ANCHOR: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""What ``every`` counts from, in elapsed seconds: nobody's restart moves its instants."""
MAX_EVERY_SECONDS: Final = 10 * 365 * 24 * 3600
MAX_COUNTED: Final = 1_000
"""Instants of a line of cron that are counted one by one; of more, it is said that many."""


class Timing(Protocol):
    """The instants at which a schedule is due, of whole seconds, in UTC."""

    @property
    def explanation(self) -> str:
        """When that is, in English."""

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the instants after a moment."""

    def back_from(self, moment: datetime) -> Iterator[datetime]:
        """Yield the instants up to a moment, the last one first."""


class Every:
    """Instants at equal distances, counted from :data:`ANCHOR`."""

    def __init__(self, seconds: int) -> None:
        self.step = timedelta(seconds=seconds)
        """The distance."""

    @property
    def explanation(self) -> str:
        """The distance, in words."""
        return f"Every {self.step}"

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the instants after a moment."""
        instant = self._last_at(moment)
        while True:
            instant += self.step
            yield instant

    def back_from(self, moment: datetime) -> Iterator[datetime]:
        """Yield the instants up to a moment, the last one first."""
        instant = self._last_at(moment)
        while True:
            yield instant
            instant -= self.step

    def _last_at(self, moment: datetime) -> datetime:
        return ANCHOR + (moment - ANCHOR) // self.step * self.step


class Due(NamedTuple):
    """The newest instants that are due, in their order, and how many are due in all."""

    instants: list[datetime]
    total: int


def timing_of(cron: str, every_seconds: int, timezone: str, key: str) -> Timing:
    """Return the timing of a line of cron, or of an interval where that is not 0.

    Raises TypeError or ValueError, with the remedy, for a line, an interval or a zone that cannot
    be, and for a line that never comes.
    """
    if bool(cron) == bool(every_seconds):
        raise ValueError("it takes a line of cron or an interval (every), one of both")
    if every_seconds:
        checked_zone(timezone)
        return Every(checked_every(timedelta(seconds=every_seconds)))
    return _cron(cron, checked_zone(timezone), key)


_cron = lru_cache(maxsize=1024)(Cron)


def checked_zone(name: str) -> ZoneInfo:
    """Return the zone of a name, TIME_ZONE for ''; raise ValueError for an unknown one."""
    name = name or settings.TIME_ZONE
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        near = did_you_mean(name, available_timezones())
        near = near if "did you mean" in near else "; write one like 'Europe/Paris'"
        raise ValueError(f"timezone {name!r} is not known here{near}") from None


def checked_every(every: object) -> int:
    """Return an interval in seconds; raise TypeError or ValueError for one that cannot be."""
    if not isinstance(every, timedelta):
        raise TypeError(f"every takes a timedelta, got {every!r}")
    seconds = every.total_seconds()
    if seconds != int(seconds) or not 1 <= seconds <= MAX_EVERY_SECONDS:
        raise ValueError(f"every takes whole seconds, from one to ten years, got {every!r}")
    return int(seconds)


def next_after(timing: Timing, moment: datetime) -> datetime | None:
    """Return the first instant after a moment; None when there is none any more."""
    return next(timing.after(moment), None)


def due_between(timing: Timing, first: datetime, now: datetime, most: int) -> Due:
    """Return the instants from ``first`` up to ``now``, the newest ``most`` of them one by one.

    ``first`` is where a schedule stands. Where it is no instant of the timing, since somebody has
    put it there, it counts as one only while no other is due.
    """
    enough = most if isinstance(timing, Every) else max(most, MAX_COUNTED)
    newest = list(
        islice(takewhile(lambda instant: instant >= first, timing.back_from(now)), enough)
    )
    if not newest:
        return Due([first], 1)
    count = len(newest)
    if isinstance(timing, Every):
        count = 1 + (newest[0] - first) // timing.step
    return Due(newest[most - 1 :: -1] if most < len(newest) else newest[::-1], count)
