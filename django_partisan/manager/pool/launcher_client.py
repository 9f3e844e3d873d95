"""The manager's side of the launcher: starts it, asks it for workers, hears how they end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from django_partisan.config.const import CUT_OFF_WORKER, STARVED_WORKER
from django_partisan.exceptions import WorkerBootError
from django_partisan.identity import start_time_of
from django_partisan.process_groups import Session
from django_partisan.settings import ProcessSettings, QueueSettings
from django_partisan.shortage import is_shortage
from django_partisan.wire import launching

logger = logging.getLogger(__name__)
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from django_partisan.worker.launcher import main; main(int(sys.argv[2]), sys.argv[3])"
)


@dataclass(frozen=True, slots=True)
class Started:
    """A worker was forked; ``pidfd`` is None where the system has none."""

    number: int
    pid: int
    pidfd: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A worker could not be forked for what this errno says; 0 is the launcher itself."""

    number: int
    errno: int


@dataclass(frozen=True, slots=True)
class Exited:
    """A worker has ended with this wait status."""

    number: int
    pid: int
    status: int


@dataclass(frozen=True, slots=True)
class BootFailed:
    """The launcher could not load the project; ``text`` is the traceback."""

    text: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The launcher has loaded the project."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The launcher process has ended."""


Event = Started | Refused | Exited | BootFailed | Ready | Gone
"""What a launcher tells the manager, or what is found out about it."""


class LauncherClient:
    """One launcher process. Its events are read without waiting; a new one replaces a dead one."""

    def __init__(self, options: dict[str, Any], session: Session | None = None) -> None:
        """Start the process; ``options`` are plain values for the ``main`` of the launcher.

        It and the workers belong to ``session``, where there is one, else to a new one.
        Raises an OSError when the machine lacks what it takes; nothing is left open then.
        """
        settings_module = getattr(settings, "SETTINGS_MODULE", None)
        if not settings_module and not options["setup"]:
            raise WorkerBootError(
                "Workers load the project anew, so DJANGO_SETTINGS_MODULE must be set; where "
                "settings.configure() is called instead, name a function that does it in the "
                "setting PARTISAN_SETUP"
            )
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as unless_started, theirs:
            unless_started.callback(ours.close)
            self._process = subprocess.Popen(  # noqa: S603 (ourselves)
                [
                    sys.executable,
                    *_interpreter_flags(),
                    "-c",
                    _BOOT,
                    json.dumps(sys.path),
                    str(theirs.fileno()),
                    json.dumps(options),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_environment(settings_module),
                # Out of the terminal's reach.
                process_group=None if session is None else 0,
                start_new_session=session is None,
            )
            unless_started.pop_all()
        self._control = ours
        ours.setblocking(False)
        self.pid = self._process.pid
        self.session = session or (self.pid, start_time_of(self.pid))
        """The session that it and all workers belong to: it says who is left of a dead manager."""
        self.is_ready = False

    def fileno(self) -> int:
        """Return the descriptor that becomes readable with an event."""
        return self._control.fileno()

    def request_worker(self, number: int, descriptors: Sequence[int]) -> bool:
        """Ask for a worker that gets these descriptors; False when the launcher is gone.

        Raises the error when the system lacks what it takes to ask.
        """
        try:
            request = [launching.REQUEST.pack(number, len(descriptors))]
            socket.send_fds(self._control, request, descriptors)
        except OSError as error:
            if is_shortage(error):
                raise
            return False
        return True

    def events(self) -> Iterator[Event]:
        """Yield what has been reported since the last call."""
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self._control, launching.REPORT.size, 1)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if len(data) < launching.REPORT.size:
                yield Gone()
                return
            kind, number, pid, status = launching.REPORT.unpack(data)
            yield self._event(kind, number, pid, status, fds)

    def wait(self, seconds: float) -> bool:
        """Wait for an event for at most so long; say whether there is one."""
        readable = select.poll()
        readable.register(self._control, select.POLLIN)
        return bool(readable.poll(max(0.0, seconds) * 1000))

    @property
    def was_killed(self) -> bool:
        """Whether the process was ended by a signal; meant for one that is :class:`Gone`."""
        try:
            return self._process.wait(timeout=1) < 0
        except subprocess.TimeoutExpired:
            return False

    def close(self) -> None:
        """Let the process end and reap it; kill it when it does not end by itself."""
        self._control.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _event(self, kind: int, number: int, pid: int, status: int, fds: list[int]) -> Event:
        if kind == launching.STARTED:
            for fd in fds:
                os.set_inheritable(fd, False)
            return Started(number, pid, fds[0] if fds else None)
        if kind == launching.REFUSED:
            return Refused(number, status)
        if kind == launching.EXITED:
            return Exited(number, pid, status)
        if kind == launching.BOOT_FAILED:
            return BootFailed(self._read_text(status))
        self.is_ready = True
        return Ready()

    def _read_text(self, length: int) -> str:
        self._control.setblocking(True)
        text = b""
        while len(text) < length and (data := self._control.recv(length - len(text))):
            text += data
        self._control.setblocking(False)
        return text.decode(errors="replace").strip()


def _environment(settings_module: str | None) -> dict[str, str]:
    if not settings_module:
        return {**os.environ}
    return {**os.environ, "DJANGO_SETTINGS_MODULE": settings_module}


def launcher_options(
    title: str,
    settings: QueueSettings,
    process_settings: ProcessSettings,
    console: dict[str, Any] | None,
    concurrency: int = 1,
    *,
    names_tasks: bool = False,
) -> dict[str, Any]:
    """Return what the launcher of workers is told when it starts; ``title`` names their queues.

    ``names_tasks``: whether workers say whose each line is that they print.
    """
    return {
        "title": f"partisan/launcher {title}",
        "console": console,
        "setup": process_settings.SETUP,
        "worker": {
            "title": f"partisan/worker {title}",
            "max_tasks": settings.TASKS_PER_WORKER_INSTANCE,
            "max_memory_mb": settings.WORKER_MAX_MEMORY_MB,
            "names_tasks": names_tasks,
            "concurrency": concurrency,
        },
    }


def death_reason(status: int | None) -> str:
    """Say in words how a process with this wait status ended."""
    if status is None:
        return "ended for a reason that could not be learnt"
    if os.WIFSIGNALED(status):
        return f"was killed by {_signal_name(os.WTERMSIG(status))}"
    code = os.WEXITSTATUS(status)
    if code == STARVED_WORKER:
        return f"exited with code {code} (it lacked threads, descriptors or memory to begin)"
    if code == CUT_OFF_WORKER:
        return f"exited with code {code} (its task closed the worker's own file descriptors)"
    return f"exited with code {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _interpreter_flags() -> list[str]:
    # As multiprocessing does for its own children: -W, -X, -O and the like carry over.
    flags: list[str] = getattr(subprocess, "_args_from_interpreter_flags", list)()
    return flags
