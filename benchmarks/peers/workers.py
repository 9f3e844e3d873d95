"""The worker processes of a queue, each group in a session of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from benchmarks.peers.environments import ROOT, Environment, environment
from benchmarks.peers.peer import Variant

STOP_SECONDS: Final = 10


class Workers:
    """Running workers and what they print."""

    def __init__(self, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
        self._processes = processes
        self._log = log

    def has_ended(self) -> bool:
        """Say whether one of them is gone though nobody stopped it."""
        return any(process.poll() is not None for process in self._processes)

    def last_words(self) -> str:
        """Return the last line of what they printed."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][-200:] if lines else "they said nothing"

    def stop(self) -> None:
        """Stop them in order; after :data:`STOP_SECONDS` at once, whatever they have started."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def running_workers(
    place: Environment, variant: Variant, variables: dict[str, str]
) -> Iterator[Workers]:
    """Run the workers of a variant for the length of the block."""
    with tempfile.NamedTemporaryFile(prefix="partisan-bench-", suffix=".log") as log:
        started: list[subprocess.Popen[bytes]] = []
        workers = Workers(started, Path(log.name))
        try:
            # Not a list made at once: what has started must be stopped when the next one fails.
            for _ in range(variant.copies):
                started += [_start(place, variant, variables, log)]
            yield workers
        finally:
            workers.stop()


def _start(
    place: Environment, variant: Variant, variables: dict[str, str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        place.command(*variant.worker),
        cwd=ROOT,
        env=environment(variables),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
