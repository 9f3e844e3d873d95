"""The state of a checkpoint as text, encoded as arguments are."""

from __future__ import annotations

import json
from typing import Any, Final

from django_partisan.payloads.encoding import decode_arguments, encode_arguments, size_in_bytes

MAX_STATE_BYTES: Final = 64 * 1024
"""Bytes of JSON that a checkpoint may take."""
# What arguments have around the first of them: whatever they may be, a state may be as well.
_BEFORE, _BEHIND = '{"args":[', '],"kwargs":{}}'


def encode_state(state: Any, processor: str) -> str:
    """Return a state as JSON text.

    Raises TypeError and ValueError for what arguments may not be either, and ValueError for more
    than MAX_STATE_BYTES.
    """
    name = f"checkpoint() of {processor}"
    text = _flat_json(state)
    if text is not None:
        return text
    text = encode_arguments((state,), {}, processor=name, max_bytes=_UNBOUNDED)
    text = text[len(_BEFORE) : -len(_BEHIND)]
    size = size_in_bytes(text)
    if size > MAX_STATE_BYTES:
        raise ValueError(
            f"The state given to {name} takes {size} bytes as JSON; at most {MAX_STATE_BYTES} are "
            "allowed. Store the data elsewhere, and keep where to go on."
        )
    return text


def decode_state(text: str) -> Any:
    """Return the state of a text that :func:`encode_state` has made; ValueError for others."""
    [state], _ = decode_arguments(f"{_BEFORE}{text}{_BEHIND}")
    return state


def _flat_json(state: Any) -> str | None:
    """Return the text of a small dict of names, which most states are; None for any other.

    At half the price: whoever saves after each item pays it a million times.
    """
    if type(state) is not dict or not all(map(_is_plain, state, state.values())):
        return None
    try:
        text = _ENCODER.encode(state)
    except ValueError:  # A number of too many digits.
        return None
    is_fine = len(text) <= _SURELY_SMALL and text.isascii() and "\\u0000" not in text
    return text if is_fine else None


def _is_plain(key: Any, value: Any) -> bool:
    return (
        type(key) is str
        and key.isidentifier()
        and key[0] != "_"
        and type(value) in _PLAIN  # A bool is not an int here, and a float has its own rules.
    )


_PLAIN: Final = frozenset({int, str, bool, type(None)})
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_SURELY_SMALL: Final = 1000
_UNBOUNDED: Final = 1 << 62
