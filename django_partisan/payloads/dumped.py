"""The arguments of a model as plain JSON values: with what is secret, and sets in one order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from django_partisan.payloads.secret_fields import is_secret


def dumped(params: BaseModel) -> Any:
    """Return a model as values that JSON knows, by the names that it is stored under.

    Secrets are in it as they are, and the items of a set in an order that is the same in every
    process. Raises what a field's own serializer raises.
    """
    plain = params.model_dump(mode="json", by_alias=True, round_trip=True, warnings=False)
    try:
        live = params.model_dump(by_alias=True, round_trip=True, warnings=False)
    except TypeError:  # a set of models, which are no keys as dicts
        return plain
    return _told(plain, live)


def is_alike(before: Any, after: Any) -> bool:
    """Say whether what was read from JSON has the values of before, or at least their kinds.

    Where it is not equal, an equal dump has to show that nothing is lost. A list may have been a
    tuple, and what a model keeps for itself does not count.
    """
    if isinstance(before, BaseModel) and isinstance(after, BaseModel):
        before, after = vars(before), vars(after)
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        return len(before) == len(after) and all(map(is_alike, before, after))
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() == after.keys() and all(
            is_alike(value, after[key]) for key, value in before.items()
        )
    return bool(before == after) or type(before) is type(after)


def _told(plain: Any, live: Any) -> Any:
    """Return JSON values with what the live ones hide from it."""
    if is_secret(live):
        return _revealed(live)
    if isinstance(live, Mapping) and isinstance(plain, dict) and len(live) == len(plain):
        pairs = zip(plain.items(), live.values(), strict=True)
        return {key: _told(inner, value) for (key, inner), value in pairs}
    if not isinstance(plain, list):
        return plain
    if isinstance(live, (set, frozenset)):
        # Their order differs from one dump to the other, so they are no pairs.
        items = map(_revealed, live) if any(map(is_secret, live)) else plain
        return sorted(items, key=json.dumps)
    if isinstance(live, (list, tuple)) and len(live) == len(plain):
        return [_told(inner, value) for inner, value in zip(plain, live, strict=True)]
    return plain


def _revealed(secret: Any) -> Any:
    value = secret.get_secret_value() if is_secret(secret) else secret
    return _told(to_jsonable_python(value, serialize_unknown=True), value)
