"""How workers are forked: none of them does anything that nobody knows of."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from django_partisan.worker.launcher import fork_waiting
from tests.support.harness import is_running
from tests.support.helpers import wait_until


def test_a_worker_whose_launcher_dies_before_it_has_told_of_it_does_nothing(tmp_path: Path) -> None:
    forked, began = tmp_path / "forked", tmp_path / "began"
    launcher = os.fork()
    if launcher == 0:
        pid, _ = fork_waiting()
        if pid == 0:
            began.touch()
            os._exit(0)
        forked.write_text(str(pid))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(launcher, 0)
    wait_until(lambda: not is_running(int(forked.read_text())))
    assert not began.exists()


def test_a_worker_begins_when_its_launcher_has_told_of_it(tmp_path: Path) -> None:
    began = tmp_path / "began"
    pid, go = fork_waiting()
    if pid == 0:
        began.touch()
        os._exit(0)
    os.write(go, b"!")
    os.close(go)
    assert os.waitpid(pid, 0)[1] == 0
    assert began.exists()
