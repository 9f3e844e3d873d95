"""Processes that hesitate at random, as on a busy machine: which tests depend on speed?

pytest's option ``--hesitant`` has every process that a test starts wait at the labelled points it
reaches. A test that fails then looked at something before it was sure to be there.
"""

from __future__ import annotations

import random
import time
from typing import Final

VARIABLE: Final = "PARTISAN_FAULT_POINTS"
CHOICE: Final = f"{__name__}:reached"
_SECONDS: Final = (0.02, 0.1, 0.3)
_OFTEN: Final = 0.4
_TIMES: Final = 20
"""About so many times by its tenth task, then ever more rarely: thousands are to end as well."""

_reached = 0


def reached(label: str) -> None:
    """Wait here, or do not."""
    global _reached  # noqa: PLW0603
    _reached += 1
    if random.random() < min(_OFTEN, _TIMES / _reached):
        time.sleep(random.choice(_SECONDS))
