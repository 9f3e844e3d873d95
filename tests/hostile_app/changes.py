"""Deeds that leave their process changed in a way that can be put right."""

from __future__ import annotations

import gc
import locale
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.utils import timezone, translation

from tests.hostile_app.deeds import deed


@deed
def change_directory() -> None:
    os.chdir("/")


@deed
def enter_a_directory_that_is_deleted() -> None:
    directory = tempfile.mkdtemp()
    os.chdir(directory)
    Path(directory).rmdir()


@deed
def change_signal_handlers() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: None)


@deed
def block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGALRM])


@deed
def leave_an_alarm() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0.2)


@deed
def change_umask() -> None:
    os.umask(0o777)


@deed
def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))


@deed
def lower_the_recursion_limit_and_fail() -> None:
    depth, frame = 0, sys._getframe()
    while (back := frame.f_back) is not None:
        depth, frame = depth + 1, back
    sys.setrecursionlimit(depth + 10)
    raise ValueError("with little room left")


@deed
def change_locale() -> None:
    locale.setlocale(locale.LC_ALL, "C.UTF-8" if _is_plain() else "C")


def _is_plain() -> bool:
    return locale.setlocale(locale.LC_ALL) == "C"


@deed
def activate_a_language() -> None:
    translation.activate("de")
    timezone.activate("Asia/Tokyo")


@deed
def change_environment() -> None:
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    os.environ["HOSTILE"] = "1"
    del os.environ["PATH"]


@deed
def stop_collecting_garbage() -> None:
    gc.disable()


@deed
def replace_streams() -> None:
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115


@deed
def leave_a_transaction_open() -> None:
    transaction.atomic().__enter__()


@deed
def leave_a_transaction_of_its_own_open() -> None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1")


@deed
def leave_a_failed_transaction_open() -> None:
    transaction.atomic().__enter__()
    with connection.cursor() as cursor:
        cursor.execute("SELECT nonsense")


@deed
def close_the_connection_in_a_transaction() -> None:
    transaction.atomic().__enter__()
    connection.close()


@deed
def close_the_file_of_the_connection() -> None:
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        os.close(connection.connection.fileno())


@deed
def change_the_session() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET statement_timeout = '12345'")
        else:
            cursor.execute("PRAGMA cache_size = 1234")


@deed
def fork_a_child_that_returns() -> Any:
    return _forked(lambda: "the child's result")


@deed
def fork_a_child_that_fails() -> Any:
    return _forked(_fail)


@deed
def fork_a_child_that_exits() -> Any:
    return _forked(lambda: sys.exit(3))


def _fail() -> None:
    raise ValueError("in the child")


def _forked(in_child: Callable[[], Any]) -> Any:
    """Return how the child has ended, in the parent; what the deed returns, in the child."""
    # What the child inherits of the connection must not be used, or closed, by both.
    pid = os.fork()
    if pid == 0:
        return in_child()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@deed
def leave_threads() -> None:
    for is_daemon in (True, False):
        threading.Thread(target=threading.Event().wait, daemon=is_daemon).start()
