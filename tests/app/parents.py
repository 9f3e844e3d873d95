"""Processors that start processes of their own, and one that must never run twice at once."""

from __future__ import annotations

import concurrent.futures
import ctypes
import fcntl
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from django_partisan.registry import registry
from tests.app.models import Ledger
from tests.app.noted import Noted

_FORK = multiprocessing.get_context("fork")
_WAIT = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)"


@registry.register
class WaitForProgram(Noted):
    """Waits for a program that ends once a file exists; fails when that is killed."""

    def work(self, path: str) -> None:
        subprocess.run([sys.executable, "-c", _WAIT, path], check=True)


@registry.register
class SignalChildren(Noted):
    """Returns how children of each kind end by each signal, which comes after a pause."""

    def work(self, numbers: list[int], pause: float = 0.0) -> list[Any]:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        return [[self.forked(number, pause), self.program(number)] for number in numbers]

    def forked(self, number: int, pause: float) -> int | None:
        child = _FORK.Process(target=time.sleep, args=(600,))
        child.start()
        time.sleep(pause)
        assert child.pid is not None
        os.kill(child.pid, number)
        child.join()
        return child.exitcode

    def program(self, number: int) -> int:
        child = subprocess.Popen(["sleep", "600"])
        child.send_signal(number)
        return child.wait()


@registry.register
class UsePools(Noted):
    """Has pools of processes do something, and ends them, again and again."""

    def work(self, times: int) -> int:
        return sum(self.once() for _ in range(times))

    def once(self) -> int:
        with _FORK.Pool(2) as pool:
            pool.map(abs, [-1, -2])
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=_FORK) as executor:
            return sum(executor.map(abs, [0, -1]))


@registry.register
class SignalItself(Noted):
    """Forks a child that has a handler of the task's own; returns its exit code."""

    def work(self) -> int | None:
        signal.signal(signal.SIGTERM, _exit_with_7)
        child = _FORK.Process(target=_terminate_oneself)
        child.start()
        child.join()
        return child.exitcode


class Parent(Noted):
    """Starts two children that never end, notes their process ids, and waits for ever."""

    def work(self, gate: str = "") -> None:
        forked = _FORK.Process(target=time.sleep, args=(600,))
        forked.start()
        for pid in (forked.pid or 0, subprocess.Popen(["sleep", "600"]).pid):
            Ledger.objects.create(task_id=self.task.id, note="child", pid=pid)
        self.write("waits")
        while not (gate and Path(gate).exists()):
            time.sleep(0.01)


@registry.register
class HaveChildren(Parent):
    pass


@registry.register
class HaveChildrenForASecond(Parent):
    TIMEOUT_SECONDS: ClassVar[float | None] = 1.0
    GRACE_SECONDS: ClassVar[float] = 0.1

    def work(self, gate: str = "") -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGURG])
        super().work(gate)


@registry.register
class BeAlone(Noted):
    """Runs until a file exists; notes when another execution holds the same lock.

    At the first time it may keep Python's own lock in C meanwhile: no thread of its process runs.
    """

    def work(self, lock: str, gate: str, holds_python: bool) -> None:
        with Path(lock).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.write("twice at once")
            self.write("holds")
            if holds_python and not self.task.rescues:
                ctypes.PyDLL(None).sleep(600)
            while not Path(gate).exists():
                time.sleep(0.01)


def _exit_with_7(number: int, frame: Any) -> None:
    os._exit(7)


def _terminate_oneself() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)
