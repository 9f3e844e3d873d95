"""Drives django-tasks-db, the database backend of Django's own tasks."""

from __future__ import annotations

from collections.abc import Iterable

import django
from django.core.management import call_command
from django.db import transaction

django.setup()

from django_tasks import task  # noqa: E402  # settings come first
from django_tasks_db.models import DBTaskResult  # noqa: E402

from benchmarks.peers.drivers import work  # noqa: E402


@task()
def run(number: int) -> int:
    """Run in the worker itself."""
    return work(number)


def prepare() -> None:
    """Make the tables."""
    call_command("migrate", verbosity=0)


def enqueue_many(numbers: Iterable[int]) -> None:
    """Enqueue in one transaction."""
    with transaction.atomic():
        for number in numbers:
            run.enqueue(number)


def enqueue_one(number: int) -> None:
    """Enqueue in a transaction of its own."""
    run.enqueue(number)


def is_recorded(tasks: int) -> bool:
    """Look at the statuses."""
    return bool(DBTaskResult.objects.successful().count() == tasks)
