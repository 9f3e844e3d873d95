"""Queues whose workers run several tasks at once: whether any can, and what that takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.core import checks
from django.db import connections

from django_partisan.exceptions import ConfigurationError
from django_partisan.execution import may_share
from django_partisan.registry.registry import registry
from django_partisan.settings import PARTISAN_CONFIG, QueueSettings

_USUAL_CONNECTIONS: Final = 100
"""PostgreSQL's ``max_connections``, where nobody has set it."""


def check_concurrency(**_: Any) -> list[checks.CheckMessage]:
    """Report queues with CONCURRENCY above 1 that it does nothing for, or that need much."""
    try:
        queues = {name: own for name, own in PARTISAN_CONFIG.items() if own.CONCURRENCY > 1}
    except ConfigurationError:
        return []  # Another check says so.
    return [message for name, own in queues.items() for message in _messages(name, own)]


def _messages(name: str, settings: QueueSettings) -> Iterator[checks.CheckMessage]:
    where = f"PARTISAN_CONFIG[{name!r}]['CONCURRENCY']"
    if not any(_shares(each, name) for each in registry.names()):
        yield checks.Warning(
            f"{where} does nothing: no processor of this queue can share a worker.",
            hint="Write async def run(self), or THREAD_SAFE = True where run() may be in one of"
            " several threads, on a processor that is not ATOMIC; or remove the key.",
            id="django_partisan.W015",
        )
        return
    needed = 1 + settings.WORKERS_COUNT * (1 + settings.CONCURRENCY)
    vendors = {connections[alias].vendor for alias in connections}
    if needed > _USUAL_CONNECTIONS and "postgresql" in vendors:
        yield checks.Warning(
            f"{where}: a manager of this queue may open {needed} connections to a database, one in"
            f" each thread of {settings.WORKERS_COUNT} workers, when so many tasks use the ORM at"
            f" once. A server has {_USUAL_CONNECTIONS} where nothing else is configured.",
            hint="Compare with max_connections of the server. Lower CONCURRENCY or WORKERS_COUNT, "
            "or silence this where the server allows so many or tasks hardly use the ORM.",
            id="django_partisan.W016",
        )


def _shares(name: str, queue_name: str) -> bool:
    found: Any = registry.get_processor_class_by_name(name)
    # What is registered and is no processor has no such name: another check says so.
    return getattr(found, "QUEUE_NAME", None) == queue_name and may_share(found)
