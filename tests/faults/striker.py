"""What a process does to itself at a labelled point: kill, stop, or break its connections.

Runs inside manager, launcher and workers, told what to do by an environment variable.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Final, Self

VARIABLE: Final = "PARTISAN_TEST_STRIKE"


@dataclass(frozen=True, kw_only=True)
class Strike:
    """A plan: what happens at which point, with which probability, at most how often in all.

    ``point`` may be a whole process's name. Each strike leaves a file in ``directory``, named by
    its number and holding the point and the pid; a directory that is gone ends them all.
    """

    point: str
    action: str
    directory: str
    most: int = 1
    probability: float = 1.0

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a process that is to be struck."""
        return {
            "PARTISAN_FAULT_POINTS": f"{__name__}:reached",
            VARIABLE: json.dumps(asdict(self)),
        }

    @classmethod
    def from_environment(cls) -> Self:
        """Return the plan of this process."""
        return cls(**json.loads(os.environ[VARIABLE]))

    def is_meant(self, label: str) -> bool:
        """Say whether it is this point's turn."""
        if not label.startswith(self.point):
            return False
        return self.probability >= 1 or random.random() < self.probability

    def claim(self, label: str) -> bool:
        """Say whether there is a strike left, and take it: several processes ask at once."""
        directory = Path(self.directory)
        for number in range(len(list(directory.iterdir())), self.most):
            with contextlib.suppress(FileExistsError):
                with (directory / f"{number:04}").open("x") as file:
                    file.write(f"{label} {os.getpid()} {time.time()}")
                return True
        return False

    def struck(self) -> list[tuple[str, int]]:
        """Return the points and pids that were struck so far."""
        texts = [path.read_text() for path in sorted(Path(self.directory).iterdir())]
        words = [text.split() for text in texts if text]
        return [(label, int(pid)) for label, pid, _ in words]


def reached(label: str) -> None:
    """Strike if this is the point; called by the package."""
    strike = _plan()
    with contextlib.suppress(FileNotFoundError):
        if strike.is_meant(label) and strike.claim(label):
            _ACTIONS[strike.action]()


@cache
def _plan() -> Strike:
    return Strike.from_environment()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def break_connections() -> None:
    """Shut down the socket of every connection of this process, as a lost network does."""
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        with contextlib.suppress(Exception):
            fd = os.dup(connection.connection.fileno())
            with socket.socket(fileno=fd) as duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)


_ACTIONS: Final = {"kill": _kill, "stop": _stop, "break": break_connections}
