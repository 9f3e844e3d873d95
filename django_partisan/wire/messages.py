"""What worker and manager say to each other."""

from __future__ import annotations

import struct
from typing import Any, Final

from django_partisan.attempt import (
    ErrorReport,
    Outcome,
)

STOP: Final = None
"""The message that ends a worker."""
RETIRED: Final = "retired"
"""The message by which a worker says that it ends of its own accord."""
LIMITED: Final = "limited"
"""Begins the message that a task with a time limit starts: its moment, the limit, the grace."""


def message_of(outcome: Outcome) -> tuple[Any, ...]:
    """Return an outcome as plain values: marshal knows no named tuples."""
    return (*outcome[:-1], None if outcome.error is None else tuple(outcome.error))


def outcome_of(message: tuple[Any, ...]) -> Outcome:
    """Return the outcome that a worker's message holds."""
    *plain, error = message
    return Outcome._make([*plain, None if error is None else ErrorReport._make(error)])


CANCEL_REQUEST: Final = struct.Struct("!qq")
"""A request to stop a task: its id and its lease."""
