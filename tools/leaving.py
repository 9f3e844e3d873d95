"""EndedAttempt in order when told to: whatever was started is cleared up on the way out."""

from __future__ import annotations

import signal
from types import FrameType


def leave_on_sigterm() -> None:
    """Have SIGTERM raise SystemExit in the main thread, so that context managers do their part."""
    signal.signal(signal.SIGTERM, _leave)


def _leave(signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)
