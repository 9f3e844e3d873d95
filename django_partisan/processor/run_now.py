"""Running a processor here and now, without a task."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from django_partisan.execution import run_here
from django_partisan.lifecycle.rows import database
from django_partisan.payloads.encoding import decode_stored


def run_now(cls: type[Any], arguments: str) -> Any:
    """Make a processor of stored arguments, as a worker does, and return what its run() returns."""
    stored = decode_stored(arguments)
    processor = cls(*stored["args"], **stored["kwargs"])
    if processor._params_model is not None:
        processor.read_params(stored)
    if not processor.ATOMIC:
        return run_here(processor)
    with transaction.atomic(using=database()):
        return run_here(processor)
