"""The columns that only some tasks have: which an INSERT names, and which a duplicate replaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from django_partisan.database.values import LABELS

Columns = Mapping[str, str]
"""An SQL value for each column."""
_DEBOUNCED: Final = frozenset({*LABELS, "object_key"})
_EARLIER: Final = frozenset({"repeat_slot"})
# What replaces a task without an expiry has none either: the action itself says so. What waits for
# others is never replaced, and does not replace.
_NEVER_REPLACED: Final = frozenset({"expires_at", "blocked_by", "flow_id", "has_dependents"})


def columns_of(columns: Mapping[str, Columns], more: Iterable[str]) -> dict[str, str]:
    """Return the columns of these fields of a :class:`NewTask` or a :class:`Batch`."""
    return {column: value for field in more for column, value in columns[field].items()}


def replacing(action: str, on_duplicate: str, columns: Iterable[str]) -> str:
    """Return what happens to a duplicate, which also gets those of these columns that it takes."""
    also = "".join(f" {each} = EXCLUDED.{each}," for each in columns if _takes(on_duplicate, each))
    return action.replace("DO UPDATE SET", f"DO UPDATE SET{also}", 1)


def _takes(on_duplicate: str, column: str) -> bool:
    match on_duplicate:
        case "replace":
            return column not in _NEVER_REPLACED
        case "debounce":
            return column in _DEBOUNCED
        case "earlier":
            return column in _EARLIER
    return False
