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


class Theft:
    """Measures which share of a virtual machine's CPU its host gives to others meanwhile."""

    def __init__(self) -> None:
        self._stolen, self._total = _cpu_seconds()

    @property
    def share(self) -> float:
        """Return the share since the beginning."""
        stolen, total = _cpu_seconds()
        return (stolen - self._stolen) / max(total - self._total, 0.01)


def _cpu_seconds() -> tuple[float, float]:
    times = psutil.cpu_times()
    return getattr(times, "steal", 0.0), sum(times)
