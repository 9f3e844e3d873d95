"""The encoding of arguments, results and error texts as text that can be stored."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from hashlib import blake2b
from pathlib import PurePath
from typing import Any
from uuid import UUID

from django.utils.datastructures import MultiValueDict
from django.utils.functional import Promise

from django_partisan.config.wording import shown

MAX_DEPTH = 100
"""Lists and dicts inside each other that arguments and results may have."""
MAX_REPR_BYTES = 8192
"""Bytes that are kept of the text that stands for a result which is no JSON."""
FIRST_VERSION = 1
"""The SCHEMA_VERSION of arguments that are stored without one."""
_SURELY_WRITABLE_BITS = 8192
_scan_once: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]

# Sorted keys: the text is then the same for equal arguments, and no database keeps their order.
_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)
# Strings are found as well, so that what is inside them is left alone.
_LARGE_FLOAT = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?e\+\d+')
# What json raises, and what a value's own methods may raise on the way, says nothing about where.
_Fault = tuple[type[Exception], str]


def encode_arguments(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    processor: str,
    max_bytes: int,
    version: int = FIRST_VERSION,
) -> str:
    """Return the arguments as JSON text `{"args": [...], "kwargs": {...}}` with sorted keys.

    `version` is added to it where it is not the first one.

    Only what JSON knows passes: str, int, float, bool, None, list, tuple (comes back as a list)
    and dict with str keys; subclasses of str, int, float, list and dict are stored as plain
    values, and zero may lose its sign. Raises TypeError naming the argument for anything else;
    ValueError for NUL, lone surrogates, NaN, Infinity, values that contain themselves, more than
    100 levels of nesting and more than `max_bytes` bytes.
    """
    text = _plain_json({"args": args, "kwargs": kwargs}, own_braces=2)
    if text is None or not all(isinstance(key, str) for key in kwargs):
        text = _checked_json(args, kwargs, processor)
    if version != FIRST_VERSION:
        text = f'{text[:-1]},"version":{version}}}'
    size = size_in_bytes(text)
    if size > max_bytes:
        raise ValueError(
            f"The arguments of {processor} take {size} bytes as JSON; at most {max_bytes} are "
            "allowed. Store the data elsewhere and pass its key, or raise the setting "
            "PARTISAN_MAX_ARGUMENTS_BYTES."
        )
    return text


def size_in_bytes(text: str) -> int:
    """Return how many bytes text takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def decode_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and keyword arguments from text that `encode_arguments` made.

    A missing part counts as empty, as in rows of 1.6.1. Raises ValueError for anything else.
    """
    stored = decode_stored(text)
    return stored["args"], stored["kwargs"]


def decode_stored(text: str) -> dict[str, Any]:
    """Return what `encode_arguments` made text of: "args", "kwargs", and "version" where it is.

    As `decode_arguments` in all else.
    """
    try:
        stored = _loaded(text)
    except RecursionError as error:
        raise ValueError("The stored arguments are nested too deep") from error
    if isinstance(stored, dict):
        if type(stored.get("args")) is list and type(stored.get("kwargs")) is dict:
            return stored  # As with all that this version stores.
        stored.setdefault("args", [])
        stored.setdefault("kwargs", {})
        if isinstance(stored["args"], list) and isinstance(stored["kwargs"], dict):
            return stored
    raise ValueError('The stored arguments need a list "args" and an object "kwargs"')


def _loaded(text: str) -> Any:
    """Return what JSON text stands for: json.loads() takes three times as long for short ones."""
    try:
        value, end = _scan_once(text, 0)
    except StopIteration:
        return json.loads(text)
    return value if end == len(text) else json.loads(text)


def canonical_hash(processor: str, arguments: str) -> str:
    """Return the 128-bit identity of a processor with these encoded arguments, in hex digits.

    Two tasks are alike when `encode_arguments` gave the same text: the order of keys does not
    matter, a tuple equals a list, and 1, 1.0 and True differ.
    """
    return blake2b(f"{processor}\0{arguments}".encode(), digest_size=16).hexdigest()


def encode_result(value: Any, max_bytes: int) -> tuple[str | None, bool]:
    """Return a result as JSON text, and whether it had to be replaced by its repr.

    None is kept as None. What the rules of `encode_arguments` refuse, and what is larger than
    `max_bytes`, becomes `{"repr": "..."}`, capped, and True. Never raises.
    """
    text, reason = result_or_reason(value, max_bytes)
    return text, bool(reason)


def result_or_reason(value: Any, max_bytes: int) -> tuple[str | None, str]:
    """Return what `encode_result` does, with the reason for its repr, empty when there is none."""
    if value is None:
        return None, ""
    text = _plain_json(value, own_braces=0)
    if text is None and _is_sound(value):
        text = _json_or_none(value)
    if text is not None and len(text.encode()) <= max_bytes:
        return text, ""
    reason = "not JSON" if text is None else f"larger than PARTISAN_MAX_RESULT_BYTES ({max_bytes})"
    # One character takes at most six bytes in JSON, so the capped repr fits whatever it holds.
    room = min(MAX_REPR_BYTES, max(0, (max_bytes - len('{"repr":""}')) // 6))
    return _ENCODER.encode({"repr": clean_text(_safe_repr(value), room)}), reason


def clean_text(text: str, max_bytes: int) -> str:
    """Return text that every database can store, of at most `max_bytes` bytes in UTF-8.

    NUL becomes U+FFFD, lone surrogates become escapes; of a longer text the head and the tail
    stay, with a line between them that says how much was left out. Never raises.
    """
    data = text.replace("\0", "\ufffd").encode("utf-8", "backslashreplace")
    if len(data) <= max_bytes:
        return data.decode()
    room = max_bytes - len(_left_out(len(data)).encode())
    if room <= 0:
        return data[: max(0, max_bytes)].decode("utf-8", "ignore")
    head = data[: room - room // 2].decode("utf-8", "ignore")
    tail = data[len(data) - room // 2 :].decode("utf-8", "ignore")
    return head + _left_out(len(data) - len(head.encode()) - len(tail.encode())) + tail


def is_storable(text: str) -> bool:
    """Say whether every database can store a text: it has no NUL and no lone surrogate."""
    return "\0" not in text and (text.isascii() or _is_unicode(text))


def _left_out(count: int) -> str:
    return f"\n… {count} bytes left out …\n"


def _json_or_none(value: Any) -> str | None:
    try:
        return _json(value)
    except Exception:  # noqa: BLE001 - a value's own methods may raise anything
        return None


def _json(value: Any) -> str:
    text = _ENCODER.encode(value)
    return _LARGE_FLOAT.sub(_with_point, text) if "e+" in text else text


def _with_point(found: re.Match[str]) -> str:
    """Write a large float without an exponent: jsonb would make a whole number of it."""
    return found[0] if found[0].startswith('"') else f"{Decimal(found[0]):f}.0"


def _plain_json(value: Any, own_braces: int) -> str | None:
    """Return JSON text when a look at the text alone proves the value sound, else None.

    Proof by counting: walking through a value costs several times what json's own walk does, and
    what json lets pass leaves traces in its text. It makes text of keys like 1 and True, but every
    dict has an opening brace: where there are no more of them than `own_braces`, those of the
    caller's frame, there is no other dict. A level of lists has an opening bracket: where there
    are no more of them than levels allowed, none is too deep. NUL has its escape, and a surrogate
    makes the text no Unicode. The same signs inside of strings only make the count too large: a
    value that is not proven sound is walked through.
    """
    text = _json_or_none(value)
    if text is None or "\\u0000" in text or text.count("{") > own_braces:
        return None
    if text.count("[") > MAX_DEPTH:
        return None
    return text if text.isascii() or _is_unicode(text) else None


def _is_sound(value: Any) -> bool:
    try:
        return _first_fault(value) is None
    except Exception:  # noqa: BLE001 - a container's own methods may raise anything
        return False


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _checked_json(args: tuple[Any, ...], kwargs: dict[str, Any], processor: str) -> str:
    """Return JSON text, or raise with the name of the first argument that is at fault."""
    for label, value in _labelled(args, kwargs):
        fault = _first_fault(value)
        if fault is not None:
            raise fault[0](f"{label} of {processor}: {fault[1]}")
    return _json({"args": args, "kwargs": kwargs})


def _labelled(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for number, value in enumerate(args, start=1):
        yield f"argument {number}", value
    for key, value in kwargs.items():
        yield f"keyword argument {key!r}", {key: value}


def fault_in(value: Any) -> str:
    """Say what is wrong with the first part of a value that JSON cannot keep; nothing if it can."""
    fault = _first_fault(value)
    return "" if fault is None else fault[1]


def _first_fault(value: Any, path: tuple[int, ...] = ()) -> _Fault | None:
    """Return what is wrong with the first part of a value that JSON cannot keep, or None."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return _text_fault(value)
    if isinstance(value, (int, float)):
        return _number_fault(value)
    if isinstance(value, (list, tuple, dict)) and not isinstance(value, MultiValueDict):
        return _container_fault(value, path)
    return TypeError, _refusal(value)


def _text_fault(text: str) -> _Fault | None:
    if "\0" in text:
        return ValueError, "the text holds a NUL character, which databases refuse; remove it"
    if not text.isascii() and not _is_unicode(text):
        return ValueError, "the text holds a lone surrogate, which is not Unicode; remove it"
    return None


def _number_fault(number: int | float) -> _Fault | None:  # noqa: PYI041 - told apart below
    if isinstance(number, float):
        if math.isfinite(number):
            return None
        return ValueError, f"{float(number)} is not JSON; pass None or a finite number"
    # Python refuses to write numbers of more than 4300 digits; a cheap bound comes first.
    if number.bit_length() < _SURELY_WRITABLE_BITS or _json_or_none(number) is not None:
        return None
    return ValueError, "the whole number has too many digits; pass it as text in parts"


def _container_fault(
    container: list[Any] | tuple[Any, ...] | dict[Any, Any], path: tuple[int, ...]
) -> _Fault | None:
    if id(container) in path:
        return ValueError, "the value contains itself"
    if len(path) >= MAX_DEPTH:
        return ValueError, f"the value is nested deeper than {MAX_DEPTH} levels"
    path = (*path, id(container))
    if isinstance(container, Mapping):
        return _items_fault(container, path)
    return next(filter(None, (_first_fault(item, path) for item in container)), None)


def _items_fault(items: Mapping[Any, Any], path: tuple[int, ...]) -> _Fault | None:
    for key, value in items.items():
        if not isinstance(key, str):
            return TypeError, f"dict key {shown(key)} is not text; JSON has no other keys"
        fault = _text_fault(key) or _first_fault(value, path)
        if fault is not None:
            return fault
    return None


_CONVERSIONS: tuple[tuple[type[Any] | tuple[type[Any], ...], str], ...] = (
    (datetime, "value.isoformat(), and use datetime.fromisoformat() in run()"),
    ((date, time), "value.isoformat(), and use fromisoformat() in run()"),
    (timedelta, "value.total_seconds(), and use timedelta(seconds=...) in run()"),
    (Decimal, "str(value), and use Decimal() in run()"),
    (Fraction, "str(value), and use Fraction() in run()"),
    (UUID, "str(value), and use UUID() in run()"),
    (PurePath, "str(value), and use Path() in run()"),
    (Enum, "value.value, and make the member of it in run()"),
    ((set, frozenset), "sorted(value)"),
    ((bytes, bytearray, memoryview), "base64.b64encode(value).decode(), or a key to the data"),
    (type, "its name"),
    (MultiValueDict, "dict(value.lists())"),
)


def _refusal(value: Any) -> str:
    if isinstance(value, Promise):
        return "a lazy translation is not JSON; pass str() of it"
    return f"{type(value).__name__} objects are not JSON; pass {_conversion_of(value)}"


def _conversion_of(value: Any) -> str:
    for kinds, conversion in _CONVERSIONS:
        if isinstance(value, kinds):
            return conversion
    if hasattr(type(value), "pk"):
        return "its primary key"
    if hasattr(type(value), "values_list"):
        return "list(value.values_list('pk', flat=True))"
    return "text, numbers, lists or dicts"


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a repr may raise anything
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
