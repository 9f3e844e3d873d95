"""SQLite: moments as MomentField keeps them there, as texts in UTC that sort by time."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils.dateparse import parse_datetime

# The text form in which MomentField keeps moments in SQLite; the doubled signs are for its cursor.
FORMAT = "'%%Y-%%m-%%d %%H:%%M:%%f'"
NOW = f"strftime({FORMAT}, 'now')"


def seconds_from_now(expression: str) -> str:
    """Return the expression of a moment so many seconds from now."""
    return f"strftime({FORMAT}, 'now', printf('%%+.3f seconds', {expression}))"


def text_of(moment: datetime) -> str:
    """Return a moment's text; of whole milliseconds as SQLite writes its own, to sort with them."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f").removesuffix("000")


def moment_of(value: datetime | str) -> datetime:
    """Return a moment as aware: Django's converters already parse what has a declared type."""
    moment = parse_datetime(value) if isinstance(value, str) else value
    assert moment is not None
    return moment.replace(tzinfo=UTC)
