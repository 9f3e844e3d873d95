"""Sets the wall clock of a process wrong, as far as Python code asks for it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Final

VARIABLE: Final = "PARTISAN_TEST_SKEW"

_seconds = float(os.environ.get(VARIABLE, "0"))
_true_time = time.time


def variables(seconds: float) -> dict[str, str]:
    """Return the environment of a process whose clock is to be wrong by so many seconds."""
    return {"PARTISAN_FAULT_POINTS": f"{__name__}:reached", VARIABLE: str(seconds)}


def reached(label: str) -> None:
    """Put the clocks wrong; called by the package, first of all when it is imported."""
    from django.utils import timezone

    time.time = lambda: _true_time() + _seconds
    timezone.now = lambda: datetime.now(UTC) + timedelta(seconds=_seconds)
