"""A manager beside `manage.py runserver`, for development: started, reloaded and ended with it."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import subprocess
import sys
import threading
from typing import Final

from django.conf import settings

from django_partisan.config.const import ExitCode
from django_partisan.exceptions import ConfigurationError
from django_partisan.settings import get_process_settings

logger = logging.getLogger(__name__)
LIFELINE: Final = "PARTISAN_LIFELINE"
"""The environment variable with the descriptor of a pipe that is closed when the server ends."""
_AGAIN_SECONDS: Final = 1.0
"""How soon to try again where the former server's manager still ends."""
_LEAVE_SECONDS: Final = 2.0
"""How long the server waits in its end for the manager, which goes on to end without it."""


def start_if_wanted() -> None:
    """Start a manager where this process is the one of `runserver` that serves.

    That is the child of its autoreloader, or the only process with ``--noreload``. Does nothing
    without PARTISAN_RUN_WITH_RUNSERVER, or without DEBUG, which `manage.py check` reports.
    """
    if is_server(sys.argv) and settings.DEBUG and _is_wanted():
        BesideRunserver().start()


def is_server(arguments: list[str]) -> bool:
    """Say whether a process with these arguments is a `runserver` that serves."""
    if arguments[1:2] != ["runserver"]:
        return False
    return "--noreload" in arguments or os.environ.get("RUN_MAIN") == "true"


def _is_wanted() -> bool:
    try:
        return get_process_settings().RUN_WITH_RUNSERVER
    except ConfigurationError:
        return False  # `runserver` checks the settings, and tells.


class BesideRunserver:
    """The manager's process, held by a pipe: however this process ends, the manager ends, too.

    Its tasks may finish before. Meanwhile the next server may have started another one; where the
    database can have one only, that is tried until the first one has ended.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = threading.Event()

    def start(self) -> None:
        """Start the manager, and a thread that looks after it."""
        threading.Thread(target=self._keep, name="manager beside runserver", daemon=True).start()
        atexit.register(self.end)

    def end(self) -> None:
        """Let the manager end, and wait a moment for that."""
        self._is_over.set()
        with contextlib.suppress(OSError):
            os.close(self._writer)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVE_SECONDS)

    def _keep(self) -> None:
        wait = 0.0
        code: int = ExitCode.ALREADY_RUNNING
        while code == ExitCode.ALREADY_RUNNING and not self._is_over.wait(wait):
            wait = _AGAIN_SECONDS
            self._process = subprocess.Popen(  # noqa: S603 - what this process was started as
                command(), env=self._environment(), pass_fds=(self._reader,)
            )
            code = self._process.wait()
        if not self._is_over.is_set():
            logger.warning(
                "the manager beside runserver has ended (code %d); the next reload starts another",
                code,
            )

    def _environment(self) -> dict[str, str]:
        # What tells the autoreloader's child from its parent is not about the manager.
        inherited = {name: value for name, value in os.environ.items() if name != "RUN_MAIN"}
        return {**inherited, LIFELINE: str(self._reader)}


def command() -> list[str]:
    """Return how this process was started, with the manager's command in place of runserver."""
    start = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv[1:])]
    return [
        sys.executable,
        *start[1:],
        "start_partisan",
        "--queue_name",
        "*",
        "--no_reload",
        "--label",
        "runserver",
        *_shared_options(sys.argv[2:]),
    ]


def _shared_options(arguments: list[str]) -> list[str]:
    """Return the options of runserver that say which project it is."""
    shared = []
    for place, word in enumerate(arguments):
        name = word.partition("=")[0]
        if name in ("--settings", "--pythonpath"):
            shared += [word] if "=" in word else arguments[place : place + 2]
    return shared
