"""Processors that are interrupted, cancelled or killed, and ATOMIC ones, which must not mind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from typing import ClassVar

from django.db import InterfaceError, OperationalError, connection

from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.exceptions import CancelTask, TaskTimedOut
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import registry
from tests.app.models import Ledger
from tests.app.noted import Noted


class Limited(Noted):
    """Stops a moment after it has begun, whatever it does."""

    TIMEOUT_SECONDS: ClassVar[float | None] = 1.0
    GRACE_SECONDS: ClassVar[float] = 0.5


@registry.register
class SleepLimited(Limited):
    def work(self, seconds: float) -> None:
        time.sleep(seconds)


@registry.register
class RetryWhenTimedOut(Limited):
    RETRY_ON_ERROR_CONFIG: ClassVar[ErrorsHandleConfig | None] = ErrorsHandleConfig(
        retry_on_errors=(TaskTimedOut,), retries_count=1, retry_pause=0
    )

    def work(self, is_stubborn: bool = False) -> None:
        with contextlib.suppress(TaskTimedOut if is_stubborn else ZeroDivisionError):
            time.sleep(60)
        time.sleep(60)


@registry.register
class LoopLimited(Limited):
    def work(self) -> None:
        while True:
            pass


@registry.register
class SwallowAndGoOn(Limited):
    def work(self) -> None:
        while True:
            with contextlib.suppress(TaskTimedOut):
                time.sleep(60)


@registry.register
class SwallowEverything(Noted):
    """Goes on whatever is raised inside it."""

    GRACE_SECONDS: ClassVar[float] = 0.5

    def work(self) -> None:
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(60)


@registry.register
class RetryAlways(Noted):
    """Waits for a file, fails, and would be tried again for ever."""

    RETRY_ON_ERROR_CONFIG: ClassVar[ErrorsHandleConfig | None] = ErrorsHandleConfig(
        retry_on_errors=(Exception,), retries_count=None, retry_pause=0
    )

    def work(self) -> None:
        try:
            time.sleep(60)
        except BaseException as error:
            raise RuntimeError("wrapped") from error


@registry.register
class CancelItself(Noted):
    def work(self, reason: str) -> None:
        raise CancelTask(reason)


class Atomic(BaseTaskProcessor):
    """Leaves notes that are there only when its end is."""

    ATOMIC = True
    UNIQUE_FOR_PARAMS = False
    RETRY_ON_ERROR_CONFIG: ClassVar[ErrorsHandleConfig | None] = ErrorsHandleConfig(
        retry_on_errors=(OperationalError, InterfaceError), retries_count=None, retry_pause=0
    )

    def write(self, note: str) -> None:
        assert self._claimed is not None
        values = {"lease": self._claimed.lease, "attempt": self._claimed.attempts}
        Ledger.objects.create(task_id=self._claimed.id, note=note, pid=os.getpid(), **values)


@registry.register
class WriteTwice(Atomic):
    """Writes, waits a moment, and writes again."""

    def run(self) -> None:
        self.write("first")
        time.sleep(self.args[0])
        self.write("second")


@registry.register
class ForkAndFail(Atomic):
    """Fails, while a process that it has forked comes to the end of run()."""

    def run(self) -> None:
        self.write("first")
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            raise ValueError("only the child has come to the end")


@registry.register
class BlockInC(Limited):
    """Sleeps with the interpreter's lock held, so that no Python code runs in its process."""

    def work(self) -> None:
        ctypes.PyDLL(None).sleep(60)


@registry.register
class SleepInDatabase(Limited):
    """Waits for an answer of PostgreSQL: psycopg 2 does that in C, psycopg 3 in Python."""

    def work(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")


@registry.register
class DeafenAndSleep(Limited):
    """Takes the signal's handler away and sleeps."""

    def work(self, seconds: float) -> None:
        for number in (signal.SIGURG, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(seconds)


@registry.register
class TidyUpWhenTimedOut(Limited):
    def work(self) -> None:
        try:
            time.sleep(60)
        finally:
            self.write("tidied")
