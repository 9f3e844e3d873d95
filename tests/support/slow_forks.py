"""Workers whose children are slow to begin: a signal finds them in the middle of that."""

from __future__ import annotations

import time
from typing import Any

VARIABLES = {"PARTISAN_FAULT_POINTS": f"{__name__}:reached"}
"""The environment in which a manager has such workers."""


def reached(label: str) -> None:
    """Slow down what a worker's children do first."""
    if label == "worker.born":
        from django_partisan.worker.process import Worker

        let_go = Worker._let_go

        def slowly(worker: Any) -> None:
            end = time.monotonic() + 0.1
            while time.monotonic() < end:  # not one call that a signal would end
                pass
            let_go(worker)

        setattr(Worker, "_let_go", slowly)  # noqa: B010
