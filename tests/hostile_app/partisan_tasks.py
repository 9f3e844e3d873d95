"""Tasks that change their process, and one that tells what it finds."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import locale
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync
from django.db import connection
from django.utils import timezone, translation

from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import registry
from tests.app.models import Ledger
from tests.app.partisan_tasks import Noted
from tests.hostile_app import bad_errors, bad_results, changes, damage, sessions
from tests.hostile_app.deeds import DEEDS

assert [bad_errors, bad_results, changes, damage, sessions], "they fill DEEDS at import"


@registry.register
class Misbehave(Noted):
    """Does one of the deeds below, as its last."""

    def run(self) -> Any:
        self.write("started")
        result = DEEDS[self.args[0]]()
        return self.proof() if result is None else result


@registry.register
class TurnAutocommitOff(BaseTaskProcessor):
    """Begins a transaction, as Django sees it, and says nothing in it."""

    def run(self) -> None:
        connection.set_autocommit(False)


@registry.register
class MisbehaveOnceMore(Misbehave):
    """Does so, and gets the next task a session of its own."""

    FRESH_SESSION = True


@registry.register
class TellOfSession(BaseTaskProcessor):
    """Returns what it finds of its database session, and which one that is."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> Any:
        return {**sessions.found(), "session": sessions.session()}


@registry.register
class Idle(BaseTaskProcessor):
    """Uses no database."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> None:
        pass


@registry.register
class Echo(BaseTaskProcessor):
    """Returns what the database answers to its argument."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.005), %s::int", self.args)
            return cursor.fetchone()[1]


@registry.register
class WriteInAnotherThread(Noted):
    """Writes a line by asyncio; the ORM does so in a thread that outlives the task."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> Any:
        return asyncio.run(self.leave_a_line())

    async def leave_a_line(self) -> str:
        assert self._claimed is not None
        await Ledger.objects.acreate(task_id=self._claimed.id, note="beside", **self.proof())
        return "written"


@registry.register
class WriteInAnotherThreadAtomically(WriteInAnotherThread):
    ATOMIC = True


@registry.register
class WriteInThisThreadAtomically(WriteInAnotherThread):
    ATOMIC = True

    def run(self) -> Any:
        return async_to_sync(self.leave_a_line)()


@registry.register
class Tell(BaseTaskProcessor):
    """Returns what it finds of everything that another task could have changed."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(_SESSION[connection.vendor])
            session = cursor.fetchall()
        return {
            "pid": os.getpid(),
            "directory": str(Path.cwd()),
            "handlers": [_name_of(signal.getsignal(number)) for number in range(1, 32)],
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            "alarm": signal.getitimer(signal.ITIMER_REAL),
            "umask": _umask(),
            "limit": resource.getrlimit(resource.RLIMIT_AS),
            "recursion": sys.getrecursionlimit(),
            "locale": locale.setlocale(locale.LC_ALL),
            "language": translation.get_language(),
            "zone": timezone.get_current_timezone_name(),
            "now": time.strftime("%Z"),
            "environment": dict(os.environ),
            "collects": gc.isenabled(),
            "streams": [_is_writable(stream) for stream in (sys.stdout, sys.stderr)],
            "files": [_is_open(number) for number in range(3)],
            "in_transaction": connection.in_atomic_block or not connection.get_autocommit(),
            "session": session,
        }


_SESSION = {
    "postgresql": "SELECT name, setting FROM pg_settings WHERE source = 'session'"
    " AND name NOT IN ('TimeZone', 'client_encoding')",
    "sqlite": "PRAGMA cache_size",
}


def _name_of(handler: Any) -> str:
    return str(getattr(handler, "__qualname__", handler))


def _umask() -> int:
    known = os.umask(0)
    os.umask(known)
    return known


def _is_writable(stream: Any) -> bool:
    stream.write("")
    stream.flush()
    return not stream.closed


def _is_open(number: int) -> bool:
    with contextlib.suppress(OSError):
        os.fstat(number)
        return True
    return False
