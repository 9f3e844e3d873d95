"""A manager beside `runserver`: one, reloaded and ended with it, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from django_partisan.models import ManagerProcess
from tests.app.partisan_tasks import Note
from tests.processes.test_run_modes import change, watched_app
from tests.settings import ROOT
from tests.support.harness import FAST_CLOCKS, SETTINGS_VARIABLE
from tests.support.helpers import command_environment, wait_until
from tests.support.ledger import Book

_MARK = "PARTISAN_TEST_RUNSERVER"


class Server:
    """`manage.py runserver` with its autoreloader, in a process group like a terminal's."""

    def __init__(self, directory: Path) -> None:
        self.code = watched_app(directory)
        (self.code.parent / "urls.py").write_text("from tests.urls import urlpatterns")
        self.code = self.code.parent / "urls.py"
        own = {
            **FAST_CLOCKS,
            "DEBUG": True,
            "PARTISAN_RUN_WITH_RUNSERVER": True,
            "PARTISAN_CONFIG": {"default": {"WORKERS_COUNT": 1}},
            "INSTALLED_APPS": [*settings.INSTALLED_APPS, "watched_app"],
            "ROOT_URLCONF": "watched_app.urls",
        }
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "django", "runserver", "127.0.0.1:0", "--skip-checks"],
                env=command_environment(
                    **{SETTINGS_VARIABLE: json.dumps(own), _MARK: str(directory)},
                    PYTHONPATH=f"{directory}:{ROOT}",
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._mark = str(directory)

    def processes(self) -> list[psutil.Process]:
        """Return every process that it has started, and itself."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return process.environ().get(_MARK) == self._mark
        except (psutil.Error, OSError):
            return False


@pytest.fixture
def server(book: Book, tmp_path: Path) -> Iterator[Server]:
    """Yield a server that has a manager beside it; in the end nothing is left."""
    made = Server(tmp_path)
    try:
        wait_until(ManagerProcess.objects.exists, message=made.log.read_text)
        book.run(Note())
        yield made
        wait_until(lambda: not made.processes(), message=lambda: f"left: {made.processes()}")
        assert not ManagerProcess.objects.exists(), made.log.read_text()
    finally:
        for process in made.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        made.process.wait()


def test_changed_code_reloads_the_manager_with_the_server_and_ctrl_c_ends_both(
    server: Server, book: Book
) -> None:
    first = ManagerProcess.objects.get()
    assert (first.label, first.queues) == ("runserver", ["default"])
    change(server.code, "from tests.urls import urlpatterns  # again")
    wait_until(lambda: ManagerProcess.objects.exclude(pk=first.pk).exists())
    wait_until(lambda: ManagerProcess.objects.count() == 1, message=server.log.read_text)
    book.run(Note())
    os.killpg(server.process.pid, signal.SIGINT)


def test_a_server_that_is_killed_leaves_no_manager_behind(server: Server) -> None:
    manager = ManagerProcess.objects.get().pid
    for process in server.processes():
        title = " ".join(process.cmdline())
        if "runserver" in title and process.pid != manager:
            process.kill()
