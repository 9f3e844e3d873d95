"""Notices when something else keeps the machine busy, which would be measured along."""

from __future__ import annotations

import time
from typing import Final

import psutil

from benchmarks.peers.results import QUIET

SAMPLE_SECONDS: Final = 0.3


def wait_until_quiet(patience: float) -> float:
    """Wait so many seconds for a quiet machine; return the share of the CPU in use at the end."""
    deadline = time.monotonic() + patience
    while True:
        busy = psutil.cpu_percent(SAMPLE_SECONDS) / 100
        if busy <= QUIET or time.monotonic() > deadline:
            return busy
