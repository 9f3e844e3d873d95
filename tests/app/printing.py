"""Processors that print in every way there is."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import registry

WAYS: dict[str, Callable[[str], Any]] = {}


def way(function: Callable[[str], Any]) -> Callable[[str], Any]:
    """Note a way to print."""
    WAYS[function.__name__] = function
    return function


@registry.register
class PrintBy(BaseTaskProcessor):
    """Prints a text in one of the ways below; what is printed tells who has done it."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> Any:
        name, *rest = self.args
        task = self.task_obj
        assert task is not None
        text = rest[0] if rest else f"{name} of task {task.pk}"
        WAYS[name](text)


@registry.register
class PrintAtomically(PrintBy):
    ATOMIC = True


@registry.register
class PrintUnkept(PrintBy):
    CAPTURE_OUTPUT = False


@registry.register
class LogBySelf(BaseTaskProcessor):
    """Logs by its own logger."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> None:
        print("before")
        self.logger.info("said at %s", "INFO")
        self.logger.warning("said at %s", "WARNING")
        self.logger.debug("said at %s", "DEBUG")
        print("after")


@way
def silence(text: str) -> None:
    pass


@way
def by_print(text: str) -> None:
    print(text)


@way
def without_newline(text: str) -> None:
    print(text, end="")


@way
def to_stderr(text: str) -> None:
    print(text, end="", file=sys.stderr)


@way
def by_descriptor(text: str) -> None:
    os.write(1, f"{text}\n".encode())


@way
def by_c(text: str) -> None:
    ctypes.CDLL(None).printf(b"%s", text.encode())


@way
def by_child(text: str) -> None:
    subprocess.run(["echo", text], check=True)


@way
def by_shell_in_background(text: str) -> None:
    os.system(f"(sleep 0.2; echo late {text}) & echo {text}")


@way
def by_thread(text: str) -> None:
    thread = threading.Thread(target=print, args=(text,))
    thread.start()
    thread.join()


@way
def by_daemon(text: str) -> None:
    """Leave a process behind that goes on to print."""
    print(text)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for _ in range(50):
                time.sleep(0.02)
                os.write(1, f"late {text}\n".encode())
        os._exit(0)
    os.wait()


@way
def then_exit(text: str) -> None:
    print(text)
    os._exit(3)


@way
def then_fail(text: str) -> None:
    print(text)
    raise ValueError("what it is about")


@way
def then_crash(text: str) -> None:
    ctypes.CDLL(None).puts(f"C: {text}".encode())
    print(text)
    os.kill(os.getpid(), signal.SIGSEGV)


@way
def then_wait(text: str) -> None:
    """Print, and wait until a file is there."""
    print("waiting")
    gate = Path(text)
    while not gate.exists():
        time.sleep(0.02)
    print("went on")


@way
def with_the_lock_held(text: str) -> None:
    """Print ten million bytes from C, which lets no thread of Python run."""
    data = b"x" * 999 + b"\n"
    write = ctypes.PyDLL(None).write
    buffer = ctypes.create_string_buffer(data * 1000)
    for _ in range(10):
        at, left = ctypes.addressof(buffer), len(data) * 1000
        while left:
            done = write(1, ctypes.c_void_p(at), ctypes.c_size_t(left))
            assert done > 0
            at, left = at + done, left - done


@way
def much(text: str) -> None:
    print("first line")
    chunk = (b"y" * 999 + b"\n") * 100
    for _ in range(int(text)):
        os.write(1, chunk)
    print("last line")


@way
def a_little(text: str) -> None:
    """Print less than a pipe holds: nothing of it has to wait for a reader."""
    os.write(1, (b"y" * 999 + b"\n") * 50)


@way
def rubbish(text: str) -> None:
    os.write(1, b"half \xc3\nnul \0\n" + bytes(range(256)) + b"\x1b[31mred\x1b[0m\n")
    os.write(2, "ä".encode()[:1])


@way
def to_nobody(text: str) -> None:
    """Close what is printed to, as programs do that become daemons."""
    print(text)
    os.close(1)
    os.close(2)
