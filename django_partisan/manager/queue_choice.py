"""Which queues a manager is to serve: those that are named, all of them, all but some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from django.db.models import Q

from django_partisan.config.const import DEFAULT_QUEUE_NAME
from django_partisan.config.wording import listed
from django_partisan.exceptions import ConfigurationError
from django_partisan.settings import MAX_QUEUE_NAME_LENGTH, PARTISAN_CONFIG, get_queue_settings

ALL_QUEUES: Final = "*"
"""Stands for every queue, also for those that come into being later."""
_TITLE_NAMES: Final = 5


@dataclass(frozen=True, kw_only=True)
class QueueChoice:
    """The queues that were asked for, in the order in which they were named."""

    names: tuple[str, ...]
    has_all: bool = False
    """Whether all other queues are served as well, those in ``excluded`` aside."""
    excluded: frozenset[str] = frozenset()
    is_strict: bool = False

    @property
    def first(self) -> str:
        """The queue whose settings hold where there can be only one value: WORKERS_COUNT."""
        return self.names[0] if self.names else DEFAULT_QUEUE_NAME

    @property
    def is_several(self) -> bool:
        """Whether there may be more than one queue."""
        return self.has_all or len(self.names) > 1

    @property
    def title(self) -> str:
        """The queues in short, as in the titles of processes."""
        shown = [*self.names, *([ALL_QUEUES] if self.has_all else [])]
        if len(shown) > _TITLE_NAMES:
            shown[_TITLE_NAMES:] = [f"+{len(shown) - _TITLE_NAMES}"]
        return ",".join(shown)

    def __str__(self) -> str:
        """Return the choice in words, to follow "serves"."""
        named = listed([repr(name) for name in self.names])
        if not self.has_all:
            return f"{'queue' if len(self.names) == 1 else 'queues'} {named}"
        words = f"queues {named}, and all others" if self.names else "all queues"
        if self.excluded:
            words += f" except {listed(sorted(map(repr, self.excluded)))}"
        return words

    def allows(self, queue_name: str) -> bool:
        """Say whether a queue is to be served."""
        if queue_name in self.names:
            return True
        return self.has_all and queue_name not in self.excluded

    def may_find(self, queue_name: str) -> bool:
        """Say whether a name that was found is one of a queue to be served."""
        # What begins so is said between managers and no queue's name.
        is_name = 0 < len(queue_name) <= MAX_QUEUE_NAME_LENGTH and not queue_name.startswith("!")
        return self.has_all and is_name and queue_name not in self.excluded

    def at_start(self) -> list[str]:
        """Return the queues to serve before anybody has looked which others there are."""
        others = sorted(map(str, PARTISAN_CONFIG)) if self.has_all else []
        return [*self.names, *(n for n in others if self.allows(n) and n not in self.names)]

    def condition(self) -> Q:
        """Return the condition on tasks that they are of a queue to be served."""
        if self.has_all:
            return ~Q(queue_name__in=self.excluded)
        return Q(queue_name__in=self.names)


def choose_queues(
    queue_names: str | Iterable[str] | None = None,
    excluded: str | Iterable[str] = (),
    *,
    is_strict: bool = False,
) -> QueueChoice:
    """Return the choice that options or arguments stand for.

    Without any name it is the default queue, or all but those that are excluded. Raises
    UnknownQueue for a name that PARTISAN_CONFIG does not have, and ConfigurationError for a queue
    that is both named and excluded.
    """
    given = [queue_names] if isinstance(queue_names, str) else list(queue_names or ())
    without = frozenset([excluded] if isinstance(excluded, str) else excluded)
    if not given:
        given = [ALL_QUEUES if without else DEFAULT_QUEUE_NAME]
    named = tuple(dict.fromkeys(name for name in given if name != ALL_QUEUES))
    for name in (*named, *sorted(without)):
        _require_known(name)
    if both := sorted(without.intersection(named)):
        raise ConfigurationError(
            f"--exclude_queue {both[0]}: the queue {both[0]!r} is named by --queue_name as well; "
            "leave one of the two out.",
            queue=both[0],
        )
    has_all = ALL_QUEUES in given
    return QueueChoice(names=named, has_all=has_all, excluded=without, is_strict=is_strict)


def _require_known(queue_name: str) -> None:
    if queue_name == ALL_QUEUES:
        raise ConfigurationError(
            "--exclude_queue '*' would leave no queue to serve; name the queues to leave out."
        )
    get_queue_settings(queue_name)
