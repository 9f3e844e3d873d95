"""The names and tags that tell tasks apart for people: which there may be."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

from django_partisan.config.wording import shown

MAX_NAME_LENGTH: Final = 255
"""Characters of a task's ``verbose_name``."""
MAX_TAG_LENGTH: Final = 50
"""Characters of a tag."""
MAX_TAGS: Final = 20
"""Tags of one task."""
# No text on one line has a control character, and no database takes a surrogate.
_FORBIDDEN: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


def checked_name(given: Any) -> str | None:
    """Return a ``verbose_name`` as it is stored; None for none, and for an empty one.

    Raises TypeError for what is no text, ValueError for what is too long or not on one line.
    """
    if given is None:
        return None
    if not isinstance(given, str):
        raise TypeError(f"verbose_name takes text, got {shown(given)}; give it as str(...)")
    if len(given) > MAX_NAME_LENGTH:
        raise ValueError(
            f"verbose_name has {len(given)} characters, more than {MAX_NAME_LENGTH}; shorten it"
        )
    if _has_forbidden(given):
        raise ValueError(
            f"verbose_name has a control character or a line break, got {shown(given)}; give text "
            "that stands on one line"
        )
    return given or None


def checked_tags(given: Any) -> tuple[str, ...]:
    """Return tags without duplicates, in the order of their first place.

    Raises TypeError for what is no tuple or list of texts, ValueError for a text that can be no
    tag, and for too many.
    """
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"tags takes a tuple or a list of texts, as ('mail',), got {shown(given)}")
    tags = tuple(dict.fromkeys(map(_checked_tag, given)))
    if len(tags) > MAX_TAGS:
        raise ValueError(f"tags has {len(tags)} of them, more than {MAX_TAGS}; leave some away")
    return tags


def _checked_tag(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f"tags takes texts, got {shown(given)} among them; give it as str(...)")
    if not 0 < len(given) <= MAX_TAG_LENGTH or "," in given or _has_forbidden(given):
        raise ValueError(
            f"tags has {shown(given)}, which can be no tag: one has 1 to {MAX_TAG_LENGTH} "
            "characters, and no commas, line breaks or control characters"
        )
    return str(given)


def _has_forbidden(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(c) in _FORBIDDEN for c in text)
