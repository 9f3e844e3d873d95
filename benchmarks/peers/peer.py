"""What the harness knows of a task queue: how to install it, with which settings to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

WORKERS: Final = 2
"""How many workers, or what comes closest, each queue gets."""
WORK_SECONDS: Final = 0.005
"""What a task that does something takes of a CPU; waiting would measure threads and loops only."""

Store = Literal["PostgreSQL", "Redis", "SQLite"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to run a queue: its default settings, or its best documented ones.

    ``worker`` is the command of one worker process group, without the environment's ``bin``
    directory; ``copies`` are started. ``options`` reach the driver, ``settings`` Django's.
    """

    name: str
    store: Store
    worker: Sequence[str]
    says: str
    copies: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    """What its processes find in their environment besides."""
    share: float = 1
    """Of the tasks that a drain has: a slow queue would take minutes for all of them."""
    poll_seconds: float = 0.1
    """How long an idle worker sleeps; the pauses between pick-ups are spread over as much."""

    @property
    def is_default(self) -> bool:
        """Say whether this is what one gets without tuning."""
        return "default" in self.name


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A task queue, the environment it needs, and its variants."""

    name: str
    driver: str
    requirements: Sequence[str]
    distributions: Sequence[str]
    isolation: str
    """Where the code of a task runs: it decides what one bad task can take along."""
    variants: Sequence[Variant]
