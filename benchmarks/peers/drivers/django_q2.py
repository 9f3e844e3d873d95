"""Drives django-q2 on its ORM broker or on Redis."""

from __future__ import annotations

from collections.abc import Iterable

import django
from django.core.management import call_command

django.setup()

from django_q.conf import Conf  # noqa: E402  # settings come first
from django_q.models import OrmQ, Success  # noqa: E402
from django_q.tasks import async_task  # noqa: E402


def prepare() -> None:
    """Make the tables."""
    call_command("migrate", verbosity=0)


def enqueue_many(numbers: Iterable[int]) -> None:
    """Enqueue one by one."""
    for number in numbers:
        enqueue_one(number)


def enqueue_one(number: int) -> None:
    """Enqueue the usual way."""
    async_task("benchmarks.peers.journal.mark", number)


def is_recorded(tasks: int) -> bool:
    """Count the results; by default django-q2 keeps the last 250 of them only."""
    kept = min(tasks, Conf.SAVE_LIMIT or tasks)
    return Success.objects.count() >= kept and not OrmQ.objects.exists()
