"""Options of the commands: each is spelt with dashes or with underscores, and refuses in words."""

from __future__ import annotations

from argparse import Action, ArgumentParser, ArgumentTypeError
from typing import Any


def add_option(parser: ArgumentParser, option: str, **details: Any) -> Action:
    """Add an option that may be spelt with dashes as well as with underscores."""
    name = option.removeprefix("--")
    twins = {f"--{name.replace(*pair)}": None for pair in (("-", "_"), ("_", "-"))}
    return parser.add_argument(*dict.fromkeys((option, *twins)), **details)


def whole_number(text: str) -> int:
    """Return the whole number that a text says; raise ArgumentTypeError where it says none."""
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no whole number") from None


def number(text: str) -> float:
    """Return the number that a text says; raise ArgumentTypeError where it says none."""
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number") from None
