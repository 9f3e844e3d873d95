"""Drives this project itself."""

from __future__ import annotations

from collections.abc import Iterable

import django
from django.core.management import call_command

from benchmarks.peers.drivers import told

django.setup()

from benchmarks.bench_app.partisan_tasks import FreeMark, Mark  # noqa: E402
from django_partisan.models import Task  # noqa: E402

_processor = FreeMark if told()["options"].get("free") else Mark


def prepare() -> None:
    """Make the tables."""
    call_command("migrate", verbosity=0)


def enqueue_many(numbers: Iterable[int]) -> None:
    """Enqueue by one call."""
    _processor.delay_many([number] for number in numbers)


def enqueue_one(number: int) -> None:
    """Enqueue in a transaction of its own."""
    _processor(number).delay()


def is_recorded(tasks: int) -> bool:
    """Look at the statuses."""
    return Task.objects.filter(status=Task.STATUS_FINISHED).count() == tasks
