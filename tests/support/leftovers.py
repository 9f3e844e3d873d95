"""Finds processes that this test run started and that outlived their test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import psutil

# Children inherit it, and so do their children, whoever adopts them.
VARIABLE = "PARTISAN_TEST_RUN"
# Python's own helper; it ends with the interpreter that started it.
EXPECTED = "multiprocessing.resource_tracker"


def mark_this_run(worker: str = "") -> None:
    """Give this run a mark that every process started from here on carries in its environment.

    A run that is spread over several processes has one mark, and each of those its own below it:
    ``worker`` names it.
    """
    run = os.environ[VARIABLE] if worker else f"{uuid.uuid4().hex}/"
    os.environ[VARIABLE] = f"{run}{worker}/" if worker else run
    # setproctitle would overwrite the memory in which the kernel shows a process's environment.
    os.environ["SPT_NOENV"] = "1"


def find_leftovers() -> list[psutil.Process]:
    """Return the processes of this run that still run, without this one and without zombies."""
    return [process for process in _relatives() if _is_alive(process)]


def describe(process: psutil.Process) -> str:
    """Return one line about a process."""
    try:
        return f"{process.pid} (parent {process.ppid()}): {' '.join(process.cmdline())[:200]}"
    except psutil.Error:
        return f"{process.pid}: gone meanwhile"


def _relatives() -> Iterator[psutil.Process]:
    this = psutil.Process()
    children = set(this.children(recursive=True))
    yield from children
    for process in psutil.process_iter():
        if process != this and process not in children and _carries_mark(process):
            yield process


def _carries_mark(process: psutil.Process) -> bool:
    try:
        return process.environ().get(VARIABLE, "").startswith(os.environ[VARIABLE])
    except (psutil.Error, OSError):
        return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        command = " ".join(process.cmdline())
        return process.status() != psutil.STATUS_ZOMBIE and EXPECTED not in command
    except psutil.Error:
        return False
