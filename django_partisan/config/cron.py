"""Lines of cron: five fields, or six with the seconds last, and H for what a key decides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import blake2b
from typing import Final

from cronsim import CronSim, CronSimError

MAX_LINE_LENGTH: Final = 100
"""Characters of a line of cron, which is also what its column holds."""
_FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week", "second")
_RANGES: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6), (0, 59))
# Of the days, only those that every month has.
_HASHED: Final = ((0, 59), (0, 23), (1, 28), (1, 12), (0, 6), (0, 59))
_HASH_TERM: Final = re.compile(r"H(?:\((\d+)-(\d+)\))?(?:/(\d+))?", re.ASCII)
_ANY_MOMENT: Final = datetime(2024, 1, 1, tzinfo=UTC)
_MINUTE: Final = timedelta(minutes=1)
_LONGEST_SHIFT: Final = timedelta(hours=3)
"""No zone moves its clocks by more at once, but for days that were left out altogether."""


class Cron:
    """The instants of a line of cron in a time zone, to the second.

    The rules of Debian's cron hold for the minutes, also where a line has seconds: when clocks go
    forward, what a line with fixed minutes and hours has in the missing hour comes right after it;
    when they go back, it comes once, the first time. Where minutes or hours begin with ``*``, a
    line follows the clock on the wall: the missing hour is left out, the repeated one comes twice.

    ``key`` decides what each ``H`` stands for. Raises ValueError for a line that cannot be read.
    """

    def __init__(self, line: str, zone: tzinfo, key: str) -> None:
        fields = _fields_of(line)
        plain = [_without_hashes(field, place, key) for place, field in enumerate(fields)]
        self._zone = zone
        self._minutes = " ".join(plain[:5])
        self._seconds = [0]
        if len(plain) > len(_FIELDS) - 1:
            self._seconds = sorted(_read(f"{plain[5]} {self._minutes}", line).seconds)
        _read(self._minutes, line)

    @property
    def explanation(self) -> str:
        """What the five fields say, in English."""
        return CronSim(self._minutes, _ANY_MOMENT).explain()

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the instants after a moment, in UTC."""
        begun = moment.astimezone(UTC).replace(second=0, microsecond=0)
        for minute in self._minutes_from(begun):
            for second in self._seconds:
                instant = minute + timedelta(seconds=second)
                if instant > moment:
                    yield instant

    def back_from(self, moment: datetime) -> Iterator[datetime]:
        """Yield the instants up to a moment, the last one first, in UTC."""
        for minute in self._minutes_back_from(moment):
            for second in reversed(self._seconds):
                instant = minute + timedelta(seconds=second)
                if instant <= moment:
                    yield instant

    def _minutes_from(self, begun: datetime) -> Iterator[datetime]:
        last = begun - timedelta(seconds=1)
        for found in CronSim(self._minutes, last.astimezone(self._zone)):
            minute = found.astimezone(UTC)
            # Of an hour that comes twice, the clock on the wall does not tell which one it is in;
            # and several minutes of an hour that is left out come at the same moment.
            if minute > last:
                yield minute
                last = minute

    def _minutes_back_from(self, moment: datetime) -> Iterator[datetime]:
        begun = moment + timedelta(seconds=1)
        if self._offset(moment - _LONGEST_SHIFT) != self._offset(moment + _LONGEST_SHIFT):
            begun += _LONGEST_SHIFT
        before = None
        for found in CronSim(self._minutes, begun.astimezone(self._zone), reverse=True):
            minute = found.astimezone(UTC)
            if minute <= moment and (before is None or minute < before):
                yield minute
                before = minute

    def _offset(self, moment: datetime) -> timedelta | None:
        return moment.astimezone(self._zone).utcoffset()


def _fields_of(line: str) -> list[str]:
    if not isinstance(line, str):
        raise TypeError(f"cron must be a line of text, got {line!r}")
    if len(line) > MAX_LINE_LENGTH:
        raise ValueError(
            f"the line of cron has {len(line)} characters, at most {MAX_LINE_LENGTH} are possible"
        )
    fields = line.upper().split()
    if len(fields) not in (5, 6):
        raise ValueError(
            f"the line of cron {line!r} has {len(fields)} field{'' if len(fields) == 1 else 's'}; "
            f"write five ({', '.join(_FIELDS[:5])}), or six with the second last"
        )
    return fields


def _without_hashes(field: str, place: int, key: str) -> str:
    return ",".join(
        _hashed(found, place, key) if (found := _HASH_TERM.fullmatch(term)) else term
        for term in field.split(",")
    )


def _hashed(found: re.Match[str], place: int, key: str) -> str:
    low, high = _HASHED[place]
    first, last, step = found.groups()
    if first is not None:
        low, high = int(first), int(last)
        least, most = _RANGES[place]
        if not least <= low <= high <= most:
            raise ValueError(
                f"{found[0]!r} is no range of the {_FIELDS[place]} ({least} to {most})"
            )
    digest = blake2b(f"{place} {key}".encode(), digest_size=8).digest()
    number, size = int.from_bytes(digest, "big"), high - low + 1
    if step is None:
        return str(low + number % size)
    if not 1 <= int(step) <= size:
        raise ValueError(
            f"{found[0]!r} takes a step of 1 to {size} for the {_FIELDS[place]}, got {step}"
        )
    return f"{low + number % int(step)}-{high}/{step}"


def _read(plain: str, line: str) -> CronSim:
    """Return the line as the library reads it; raise ValueError where it cannot."""
    try:
        simulated = CronSim(plain, _ANY_MOMENT)
    except (CronSimError, AssertionError, AttributeError, TypeError) as error:
        said = str(error) if isinstance(error, CronSimError) else "a field makes no sense"
        raise ValueError(f"the line of cron {line!r} cannot be read: {said.lower()}") from error
    if next(simulated, None) is None:
        raise ValueError(f"the line of cron {line!r} never comes: no such day is in any year")
    return simulated
