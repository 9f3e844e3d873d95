"""A manager with two workers as a process of its own, as ``manage.py start_partisan`` runs it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks.figures import BenchError
from django_partisan.models import ManagerProcess

WORKERS = 2
STOP_SECONDS = 40


class Engine:
    """A running manager; :attr:`processes` are it and everything that it started."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def processes(self) -> list[psutil.Process]:
        """The manager, the process that starts workers, and the workers."""
        manager = psutil.Process(self._process.pid)
        return [manager, *manager.children(recursive=True)]

    def wait_until(
        self, condition: Callable[[], bool], what: str, *, seconds: float = 60, pause: float = 0.02
    ) -> None:
        """Wait until a condition holds; raise BenchError when time is up or the manager ended."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self._process.poll() is not None:
                raise BenchError(f"The manager ended while waiting: {what}.\n{self._last_words()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{seconds:g} s are over: {what}.\n{self._last_words()}")
            time.sleep(pause)

    def stop(self) -> None:
        """Stop the manager in order; raise BenchError when it does not end with 0."""
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_SECONDS)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        if status != 0:
            raise BenchError(f"The manager ended with status {status}.\n{self._last_words()}")

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])


def cpu_seconds(*processes: psutil.Process) -> float:
    """Return the seconds of a CPU that processes have used so far."""
    times = [process.cpu_times() for process in processes]
    return sum(spent.user + spent.system for spent in times)


@contextlib.contextmanager
def running_engine(
    environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
) -> Iterator[Engine]:
    """Run a manager for the length of the block."""
    command = [sys.executable, "-m", "django", "start_partisan", f"--workers_count={WORKERS}"]
    command += arguments
    with tempfile.NamedTemporaryFile(prefix="partisan-bench-", suffix=".log") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C reaches us, and we stop it in order
        )
        engine = Engine(process, Path(log.name))
        try:
            yield engine
        finally:
            engine.stop()


def wait_until_serving(engine: Engine) -> None:
    """Wait until the manager has registered and its workers exist."""
    engine.wait_until(ManagerProcess.objects.exists, "the manager's registration")
    # The manager, the launcher, the workers.
    engine.wait_until(lambda: len(engine.processes) >= 2 + WORKERS, "the start of the workers")
