"""Durations as people write and read them: `90`, `15m`, `12h`, `7d`, `2w`."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from typing import Final

from django_partisan.backoff import MAX_PAUSE_SECONDS

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FORM: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds that ``text`` means; raise ArgumentTypeError saying what is accepted."""
    match = _FORM.fullmatch(text.strip().lower())
    if match is None:
        raise ArgumentTypeError(
            f"{text!r} is no duration; write seconds, or a number with s, m, h, d or w, as in 7d"
        )
    seconds = float(match[1]) * _UNITS[match[2] or "s"]
    if seconds > MAX_PAUSE_SECONDS:
        raise ArgumentTypeError(f"{text!r} is longer than ten years")
    return seconds


def say_duration(seconds: float) -> str:
    """Return seconds in the largest unit that divides them: 604800 is '7d', 90 is '90s'."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds:g}s"
