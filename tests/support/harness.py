"""The real `start_partisan` in a process of its own, with everything a test asks about it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import psutil

from tests.support.helpers import HANG_SECONDS, command_environment, wait_until

SETTINGS_VARIABLE: Final = "PARTISAN_TEST_SETTINGS"
_MARK: Final = "PARTISAN_TEST_MANAGER"

FAST_CLOCKS: Final = {
    "PARTISAN_HEARTBEAT_SECONDS": 0.3,
    # Long enough that no busy machine keeps a manager from beating in time.
    "PARTISAN_DEAD_AFTER_SECONDS": 15.0,
    "PARTISAN_RESCUE_INTERVAL_SECONDS": 0.3,
    "PARTISAN_SHUTDOWN_GRACE_SECONDS": 10.0,
}
SHORT_LIVES: Final = {"PARTISAN_DEAD_AFTER_SECONDS": 6.0}
"""Settings of managers for whose death, or whose own fence, a test waits."""
HOARDING: Final = {"MIN_QUEUE_SIZE": 150, "MAX_QUEUE_SIZE": 300}
"""Settings of a queue whose manager claims that many, however long tasks take."""


class Manager:
    """One run of the command: its processes, its log, its end.

    ``queue`` holds the settings of the queue it serves, ``settings`` any others; both go on top of
    short clocks. ``arguments`` are added to the command line; ``prefix`` is what runs it, if not
    Python alone, and ``stderr`` where it logs to instead of :attr:`log`. It leads a session, as
    under systemd, unless it ``shares_session`` with the test, as it does with a shell.
    """

    def __init__(
        self,
        directory: Path,
        *,
        queue: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        queue_name: str = "default",
        prefix: Sequence[str] = (),
        stderr: Any = None,
        shares_session: bool = False,
    ) -> None:
        self.queue_name = queue_name
        self.workers_count: int = {"WORKERS_COUNT": 2, **(queue or {})}["WORKERS_COUNT"]
        self._mark = uuid.uuid4().hex
        self._temporary = directory / f"tmp-{self._mark[:8]}"
        self._temporary.mkdir()
        self._log = directory / f"log-{self._mark[:8]}"
        own = {"WORKERS_COUNT": 2, "SLEEP_DELAY_SECONDS": 0.5, **(queue or {})}
        self._settings = {**FAST_CLOCKS, "PARTISAN_CONFIG": {queue_name: own}, **(settings or {})}
        command = [sys.executable, "-m", "django", "start_partisan", "-v2"]
        self._command = [*prefix, *command, *arguments]
        if queue_name != "default":
            self._command += ["--queue_name", queue_name]
        self._environment = environment or {}
        self._stderr = stderr
        self._shares_session = shares_session
        self._process: psutil.Popen | None = None
        self._named: set[str] = set()

    # ----- life -----

    def start(self) -> Self:
        """Start the command and return at once."""
        environment = command_environment(
            **{SETTINGS_VARIABLE: json.dumps(self._settings), _MARK: self._mark},
            TMPDIR=str(self._temporary),
            **self._environment,
        )
        with self._log.open("ab") as log:
            self._process = psutil.Popen(
                self._command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log if self._stderr is None else self._stderr,
                process_group=0 if self._shares_session else None,
                start_new_session=not self._shares_session,
            )
        return self

    def wait_until_serving(self) -> Self:
        """Return once it is registered and has all its workers."""
        # A look at all processes costs what their start lacks on a busy machine.
        wait_until(self._is_serving, interval=0.05, message=lambda: f"serving\n{self.log}")
        self._note_names()
        return self

    def send(self, number: int) -> None:
        """Send a signal to the manager alone."""
        self.process.send_signal(number)

    def wait_for_exit(self) -> int:
        """Return the exit code."""
        try:
            return int(self.process.wait(HANG_SECONDS))
        except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
            raise AssertionError(f"no exit within {HANG_SECONDS} s\n{self.log}") from None

    def stop(self) -> int:
        """End it by SIGTERM and return the exit code; the code of its end if it has ended."""
        if self.process.poll() is None:
            self._note_names()
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
        return self.wait_for_exit()

    def kill(self) -> None:
        """End it by SIGKILL, and return when it is gone."""
        self.process.kill()
        self.process.wait(HANG_SECONDS)

    # ----- what it consists of -----

    @property
    def process(self) -> psutil.Popen:
        """The manager's own process."""
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        """The manager's process id."""
        return int(self.process.pid)

    @property
    def log(self) -> str:
        """Everything it has written so far."""
        return self._log.read_text(errors="replace")

    @property
    def log_path(self) -> Path:
        """The file that it writes to."""
        return self._log

    def workers(self) -> list[psutil.Process]:
        """Return its worker processes."""
        return self._titled("partisan/worker")

    def launchers(self) -> list[psutil.Process]:
        """Return the process that starts workers; none while it is being replaced."""
        return self._titled("partisan/launcher", is_recursive=False)

    def idle_workers(self) -> list[psutil.Process]:
        """Return the workers that run nothing."""
        return self._titled(f"partisan/worker {self.queue_name} idle")

    def processes(self) -> list[psutil.Process]:
        """Return every process of it that runs, whoever is its parent by now."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    # ----- what it leaves -----

    def assert_nothing_left(self) -> None:
        """Fail when a process, a named socket, shared memory or a temporary file outlives it."""
        wait_until(lambda: not self.processes(), message=lambda: f"left: {self.processes()}")
        assert not [name for name in self._named if Path(name).exists()]
        assert not [str(path) for path in self._temporary.rglob("*")]

    def destroy(self) -> None:
        """End whatever is left, without questions."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.wait(HANG_SECONDS)

    def _is_serving(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.poll()}\n{self.log}")
        return " serves " in self.log and len(self.workers()) == self.workers_count

    def _titled(self, title: str, *, is_recursive: bool = True) -> list[psutil.Process]:
        try:
            children = self.process.children(recursive=is_recursive)
        except psutil.Error:
            return []
        return [child for child in children if _title_of(child).startswith(title)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return process.environ().get(_MARK) == self._mark
        except (psutil.Error, OSError):
            return False

    def _note_names(self) -> None:
        """Remember named sockets and shared memory in use: none of them may stay."""
        for process in self.processes():
            try:
                self._named.update(_names_of(process))
            except (psutil.Error, OSError):
                continue


def run_command(
    directory: Path, *, settings: Mapping[str, Any] | None = None, **options: Any
) -> tuple[int, str]:
    """Run a command that should end by itself; return its exit code and its output."""
    manager = Manager(directory, settings=settings, **options).start()
    try:
        return manager.wait_for_exit(), manager.log
    finally:
        manager.destroy()
        manager.assert_nothing_left()


class Stopwatch:
    """Tells how long something takes."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """The seconds since the start."""
        return time.monotonic() - self._started


def _title_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _names_of(process: psutil.Process) -> Iterator[str]:
    for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines():
        if "/dev/shm/" in line and not line.endswith("(deleted)"):
            yield line[line.index("/dev/shm/") :]
    for used in process.net_connections(kind="unix"):
        if str(used.laddr).startswith("/"):
            yield str(used.laddr)


def is_running(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def kill(pid: int) -> None:
    """Send SIGKILL to a process that may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
