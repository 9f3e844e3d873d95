"""The deeds that a task may be told to do, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

DEEDS: dict[str, Callable[[], Any]] = {}


def deed(do: Callable[[], Any]) -> Callable[[], Any]:
    """Make a function known by its name."""
    DEEDS[do.__name__] = do
    return do


class OddText(str):
    """Text that is none when it is used."""

    __slots__ = ()

    def replace(self, *_: Any) -> Any:
        raise RuntimeError("an odd text")

    encode = __getitem__ = replace  # type: ignore[assignment]
