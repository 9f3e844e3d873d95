"""The demonstration works through real files, can be interrupted, and leaves no process behind."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.settings import ROOT
from tests.support.helpers import wait_until

DEMO = ROOT / "example" / "demo.py"


def start_demo(data: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(DEMO), "--data", str(data), *arguments]
    with (data / "output").open("w") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, text=True)


def output(data: Path) -> str:
    return (data / "output").read_text()


def manager_of(demo: subprocess.Popen[str]) -> psutil.Process | None:
    children = psutil.Process(demo.pid).children()
    return next((child for child in children if "start_partisan" in child.cmdline()), None)


@pytest.mark.sqlite
def test_the_demo_continues_after_an_interruption_and_ends_with_a_summary(tmp_path: Path) -> None:
    interrupted = start_demo(tmp_path, "--limit", "300")
    wait_until(lambda: " of " in output(tmp_path))
    interrupted.send_signal(signal.SIGINT)
    assert interrupted.wait(60) == 130, output(tmp_path)
    assert "run it again to continue" in output(tmp_path)

    assert start_demo(tmp_path, "--limit", "300").wait(100) == 0, output(tmp_path)
    assert "Continuing an earlier run" in output(tmp_path)
    assert "Largest" in output(tmp_path)


@pytest.mark.sqlite
def test_the_demo_shows_the_log_of_a_manager_that_dies(tmp_path: Path) -> None:
    demo = start_demo(tmp_path, "--limit", "300")
    manager = wait_until(lambda: manager_of(demo))
    assert manager is not None
    manager.kill()
    assert demo.wait(60) == 1, output(tmp_path)
    assert "start_partisan ended with exit code -9" in output(tmp_path)
