"""Running a processor here and now, without a task."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from django_partisan.execution import run_here
from django_partisan.lifecycle.rows import database
from django_partisan.payloads.encoding import decode_arguments


def run_now(cls: type[Any], arguments: str) -> Any:
    """Make a processor of stored arguments, as a worker does, and return what its run() returns."""
    args, kwargs = decode_arguments(arguments)
    processor = cls(*args, **kwargs)
    if not processor.ATOMIC:
        return run_here(processor)
    with transaction.atomic(using=database()):
        return run_here(processor)
