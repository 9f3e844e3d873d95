"""The kinds of tasks in the load: how many there are of each, and how each rightfully ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BLOCK: Final = 10_000
"""So many tasks in a row hold each kind as often as its share says."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Tasks of one processor class, which has the same name."""

    name: str
    share: int
    end: str = "finished"
    retries: int = 0
    postpones: int = 0


_RARER: Final = (
    Kind(name="Nap", share=500),
    Kind(name="Delayed", share=400),
    Kind(name="Duplicated", share=400),
    Kind(name="Retried", share=400, retries=2),
    Kind(name="Postponed", share=400, postpones=1),
    Kind(name="Atomic", share=400),
    Kind(name="Failed", share=200, end="error"),
    Kind(name="Large", share=200),
    Kind(name="Withdrawn", share=100, end="cancelled"),
    Kind(name="Swollen", share=20),
    Kind(name="Stopped", share=1, end="cancelled"),
    Kind(name="TimedOut", share=1, end="error"),
    Kind(name="Stubborn", share=1, end="error"),
)
KINDS: Final = (
    Kind(name="Noop", share=BLOCK - sum(kind.share for kind in _RARER)),
    *_RARER,
)


def kind_of(number: int) -> Kind:
    """Return the kind of the task with this number."""
    return _ORDER[number % BLOCK]


def _spread() -> list[Kind]:
    """Return the kinds of a block in their order, each as evenly spread as can be.

    The rarest ones come in its first seconds, so that a short run has them too.
    """
    places = [
        ((count + 0.01 * index) / kind.share, index, kind)
        for index, kind in enumerate(KINDS)
        for count in range(kind.share)
    ]
    return [kind for _, _, kind in sorted(places, key=lambda place: place[:2])]


_ORDER: Final = _spread()
