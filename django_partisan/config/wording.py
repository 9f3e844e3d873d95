"""The wording of messages: how many, which ones, and what is wrong with a value."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import ErrorDetails

_LONGEST_SHOWN = 80

_WANTED = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be True or False",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "sequence_str": "must be a list or tuple",
    "is_instance_of": "must be a list or tuple",
    "too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be {le:g} or less",
}


def explain(error: ErrorDetails, known_keys: Iterable[str], *, or_none: bool = False) -> str:
    """Return one sentence for one finding: what was wanted and what was given."""
    if error["type"] in ("extra_forbidden", "invalid_key"):
        return f"unknown key{did_you_mean(error['loc'][-1], known_keys)}"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    wanted = _WANTED.get(error["type"], error["msg"]).format(**error.get("ctx", {}))
    return f"{wanted}{', or None' if or_none else ''}, got {shown(error['input'])}"


def close_match(given: object, known: Iterable[object]) -> str | None:
    """Return the known word that was probably meant, whatever its case, or None."""
    words = {word.upper(): word for word in known if isinstance(word, str)}
    close = difflib.get_close_matches(str(given).upper(), words, n=1)
    return words[close[0]] if close else None


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """Return `; did you mean 'X'?` when a known word is close, or else the list of them."""
    words = sorted(known)
    close = close_match(given, words)
    return f"; did you mean {close!r}?" if close else f"; known are {', '.join(words)}"


def counted(count: int, noun: str) -> str:
    """Return so many of something: `1 task`, `2,000 tasks`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], most: int = 10) -> str:
    """Return names with commas between them, and how many were left out."""
    left_out = len(names) - most
    return ", ".join(names[:most]) + (f" and {left_out:,} more" if left_out > 0 else "")


def shown(value: Any) -> str:
    """Return a short repr of a value with its type, whatever the value is."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a repr may raise anything
        text = "a value without a repr"
    if len(text) > _LONGEST_SHOWN:
        text = f"{text[: _LONGEST_SHOWN - 3]}..."
    return f"{text} ({type(value).__name__})"
