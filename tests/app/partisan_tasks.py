"""The processors that the tests run: each execution leaves rows in the ledger."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from django.db import OperationalError, connection

from django_partisan.config.processor_configs import ErrorsHandleConfig, PostponeConfig
from django_partisan.exceptions import PostponeTask
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import registry
from tests.app import (
    aliases,
    async_tasks,
    functions,
    long_tasks,
    parents,
    printing,
    stopped_tasks,
    typed,
)
from tests.app.noted import Noted

__all__ = [
    "Noted",
    "aliases",
    "async_tasks",
    "functions",
    "long_tasks",
    "parents",
    "printing",
    "stopped_tasks",
    "typed",
]


_ballast: list[bytearray] = []


@registry.register
class Note(Noted):
    """Does nothing but leave its notes."""

    def work(self, *args: Any) -> None:
        pass


@registry.register
class NoteTick(Note):
    """What people may schedule; takes the moment that it was scheduled for."""

    SCHEDULABLE = True

    def work(self, *args: Any, tick: str | None = None) -> None:
        pass


@registry.register
class AtomicNote(Note):
    """Leaves its notes and its end in one transaction."""

    ATOMIC = True


@registry.register
class NoteThrottled(Note):
    """Runs once an hour, whatever is called."""

    UNIQUE_FOR_PARAMS = True
    UNIQUE_KEY = ("0",)
    UNIQUE_FOR_SECONDS = 3600


@registry.register
class NoteDebounced(Note):
    """Runs the last of several calls."""

    UNIQUE_FOR_PARAMS = True
    UNIQUE_KEY = ("0",)
    DEBOUNCE_SECONDS = 0.1
    DEBOUNCE_MAX_SECONDS = 0.3


@registry.register
class NoteElsewhere(Note):
    QUEUE_NAME = "elsewhere"


@registry.register
class Sleep(Noted):
    def work(self, seconds: float) -> None:
        time.sleep(seconds)


@registry.register
class SleepQuietly(BaseTaskProcessor):
    """Leaves no notes, so it needs no database of its own."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> None:
        time.sleep(self.args[0])


@registry.register
class WaitForFile(Noted):
    """Runs until a file exists; without one it ends at once."""

    def work(self, path: str = "") -> None:
        while path and not Path(path).exists():
            time.sleep(0.01)


@registry.register
class Append(BaseTaskProcessor):
    """Writes its id into a file, once another file exists: notes for times without a database."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> None:
        assert self._claimed is not None
        notes, gate = map(Path, self.args)
        while not gate.exists():
            time.sleep(0.01)
        with notes.open("a") as file:
            file.write(f"{self._claimed.id}\n")


@registry.register
class Exit(Noted):
    def work(self, code: int) -> None:
        os._exit(code)


@registry.register
class ExitOnce(Noted):
    """Ends its worker, but not a second time."""

    def work(self) -> None:
        if not self.task.crashes:
            os._exit(1)


@registry.register
class Signal(Noted):
    def work(self, number: int) -> None:
        _leave_no_core()
        os.kill(os.getpid(), number)
        signal.pause()


@registry.register
class Segfault(Noted):
    def work(self) -> None:
        _leave_no_core()
        ctypes.string_at(0)


@registry.register
class Recurse(Noted):
    def work(self, depth: int = 0) -> None:
        self.work(depth + 1)


@registry.register
class RecurseInC(Noted):
    """Recurses through calls of C until the stack is used up, or Python counts them."""

    def work(self) -> None:
        _leave_no_core()
        sys.setrecursionlimit(10**9)
        list(map(self.again, [0]))

    def again(self, number: int) -> None:
        list(map(self.again, [number]))


@registry.register
class OutOfMemory(Noted):
    """Asks for more than the address space that it leaves itself."""

    def work(self) -> None:
        limits = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, limits[1]))
        try:
            bytearray(2 << 30)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)


@registry.register
class Swell(Noted):
    """Keeps so many megabytes until its process ends."""

    def work(self, megabytes: int) -> None:
        _ballast.append(bytearray(os.urandom(1 << 20) * megabytes))


@registry.register
class SucceedAtThird(Noted):
    RETRY_ON_ERROR_CONFIG: ClassVar[ErrorsHandleConfig | None] = ErrorsHandleConfig(
        retry_on_errors=(ValueError,), retries_count=5, retry_pause=0.1
    )

    def work(self) -> None:
        if self.task.retries < 2:
            raise ValueError(f"no success at retry {self.task.retries}")


@registry.register
class RetryWhenTold(Noted):
    """Would wait an hour for each retry; its first error says 0, then it says so itself."""

    RETRY_ON_ERROR_CONFIG: ClassVar[ErrorsHandleConfig | None] = ErrorsHandleConfig(
        retry_on_errors=(ValueError,), retries_count=2, retry_pause=3600
    )

    def work(self) -> None:
        if self.task.retries < 2:
            error = ValueError(f"no success at retry {self.task.retries}")
            error.retry_after_seconds = 3600 * self.task.retries  # type: ignore[attr-defined]
            raise error

    def retry_delay(self, error: ValueError, attempt: int) -> float | None:
        return 0 if attempt == 2 else None


@registry.register
class PostponeTwice(Noted):
    POSTPONE_CONFIG: ClassVar[PostponeConfig | None] = PostponeConfig(max_postpones=2)

    def work(self) -> None:
        if self.task.postpones < 2:
            raise PostponeTask(0.1)


@registry.register
class Fail(Noted):
    """Raises an error with such a text."""

    def work(self, text: str = "", megabytes: int = 0) -> None:
        raise RuntimeError(text + "x" * (megabytes << 20))


@registry.register
class Log(Noted):
    """Logs to loggers that the project has not configured, one with a field of its own."""

    def work(self) -> None:
        logging.getLogger("shop").warning("the shelf is empty", extra={"queue": "at the door"})
        logging.getLogger("shop.till").error("the till is empty\nas well")
        thread = threading.Thread(target=logging.getLogger("shop").warning, args=["from a thread"])
        thread.start()
        thread.join()


@registry.register
class FailWithUnstorableText(Noted):
    def work(self) -> None:
        raise RuntimeError("a zero \0 and a half \ud800 of a pair")


@registry.register
class ReturnUnstorableText(Noted):
    def work(self) -> str:
        return "a zero \0 and a half \ud800 of a pair"


@registry.register
class ReturnObject(Noted):
    def work(self) -> object:
        return object()


@registry.register
class ReturnMuch(Noted):
    def work(self, megabytes: int) -> str:
        return "x" * (megabytes << 20)


@registry.register
class ReturnPadded(Noted):
    """Returns its proof with so many random characters, which no database can compress away."""

    def work(self, size: int) -> dict[str, Any]:
        return {**self.proof(), "padding": os.urandom(size // 2).hex()}


@registry.register
class LeaveTransactionOpen(Noted):
    """Begins a transaction, writes in it, and leaves both behind."""

    def work(self) -> None:
        self.write("kept")
        connection.set_autocommit(False)
        self.write("left open")


@registry.register
class CloseConnection(Noted):
    """Closes the driver's connection under Django's feet."""

    def run(self) -> Any:
        self.write("started")
        if connection.vendor == "sqlite":
            connection.close()
        else:
            connection.connection.close()
        return self.proof()


@registry.register
class EndConnection(Noted):
    """Has the server end the connection, as a restart of the server does."""

    def run(self) -> Any:
        self.write("started")
        with connection.cursor() as cursor, contextlib.suppress(OperationalError):
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return self.proof()


@registry.register
class LeaveSystemExit(Noted):
    def work(self) -> None:
        raise SystemExit(3)


def _leave_no_core() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
