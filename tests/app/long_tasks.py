"""Processors that tell of themselves while they run."""

from __future__ import annotations

import time
from pathlib import Path

from django_partisan.registry import registry
from tests.app.noted import Noted


@registry.register
class TellProgress(Noted):
    """Tells many times how far it is, and at each gate waits for a file to be there."""

    def work(self, times: int, *gates: str) -> None:
        for gate in ("", *gates):
            while gate and not Path(gate).exists():
                time.sleep(0.01)
            for number in range(times + 1):
                self.progress(number, times, Path(gate).name)


@registry.register
class TellAtomically(TellProgress):
    ATOMIC = True
