"""Which tasks may be in a worker together, and how many of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from django_partisan.attempt import ClaimedTask
from django_partisan.exceptions import ProcessorClassNotFound
from django_partisan.execution import may_share
from django_partisan.registry.registry import registry


class Sharing:
    """Says of a task how many may be in its worker, itself included: CONCURRENCY of its queue.

    It is 1 for what must not share: what is neither asynchronous nor THREAD_SAFE, what is ATOMIC,
    and what was rescued before, since it may have taken others with it. ``concurrency_of`` returns
    the setting of a queue.
    """

    def __init__(self, concurrency_of: Callable[[str], int]) -> None:
        self._concurrency_of = concurrency_of
        self._places = cache(self._places_of)

    def places(self, task: ClaimedTask) -> int:
        """Return how many tasks may be in the worker of this one."""
        return 1 if task.rescues else self._places(task.processor_class, task.queue_name)

    def _places_of(self, processor_class: str, queue_name: str) -> int:
        return self._concurrency_of(queue_name) if _may_share(processor_class) else 1


def _may_share(name: str) -> bool:
    try:
        return may_share(registry.get_processor_class_by_name(name))
    except ProcessorClassNotFound:
        return False
