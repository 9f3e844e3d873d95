"""Processors whose `run()` is a coroutine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.utils import timezone, translation

from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.exceptions import FailTask, PostponeTask, TaskCancelled, TaskTimedOut
from django_partisan.processor import BaseTaskProcessor, processor
from django_partisan.registry import registry
from tests.app.models import Ledger
from tests.app.noted import Noted

var: ContextVar[int | None] = ContextVar("var", default=None)


class AsyncNoted(Noted):
    """Notes by Django's asynchronous methods what it does."""

    async def run(self) -> Any:
        await self.awrite("started")
        result = await self.work(*self.args, **self.kwargs)
        await self.awrite("done")
        return self.proof() if result is None else result

    async def awrite(self, note: str) -> None:
        await Ledger.objects.acreate(task_id=self.task.id, note=note, **self.proof())


@registry.register
class AsyncNote(AsyncNoted):
    async def work(self, *args: Any) -> None:
        await asyncio.sleep(0)


@registry.register
class AsyncSleep(AsyncNoted):
    """Tidies up asynchronously when it is stopped."""

    GRACE_SECONDS: ClassVar[float] = 5

    async def work(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except TaskCancelled:
            await self.awrite("cancelled")
            raise


@registry.register
class AsyncWaitForFile(AsyncNoted):
    async def work(self, path: str) -> None:
        while not Path(path).exists():  # noqa: ASYNC110, ASYNC240 - as other processes do
            await asyncio.sleep(0.01)


@registry.register
class AsyncLimited(AsyncNoted):
    """Waits, blocks its loop, or goes on whatever is raised in it."""

    TIMEOUT_SECONDS: ClassVar[float | None] = 1.0
    GRACE_SECONDS: ClassVar[float] = 0.5

    async def work(self, way: str) -> None:
        if way == "wait":
            await asyncio.sleep(60)
        if way == "block":
            time.sleep(60)  # noqa: ASYNC251 - it blocks
        while True:
            with contextlib.suppress(TaskTimedOut):
                await asyncio.sleep(60)


class Ending(Noted):
    """Ends in each of the ways in which a task can."""

    RETRY_ON_ERROR_CONFIG: ClassVar[ErrorsHandleConfig | None] = ErrorsHandleConfig(
        retry_on_errors=(ConnectionError,), retries_count=3, retry_pause=0
    )

    async def work(self, way: str) -> str:
        await asyncio.sleep(0)
        if way == "retry" and self.task.retries < 2:
            raise ConnectionError(way)
        if way == "postpone" and not self.task.postpones:
            raise PostponeTask(0)
        if way == "fail":
            raise FailTask(way)
        if way == "exit":
            raise SystemExit(way)
        if way == "child exits":
            await asyncio.create_task(AsyncEnding("exit").work("exit"))
        return way


@registry.register
class AsyncFailing(Ending, AsyncNoted):
    """Notes what it does."""


@registry.register
class AsyncEnding(Ending):
    """Notes nothing: its task need not be one that a manager has claimed."""

    async def run(self) -> str:
        return await self.work(*self.args)

    @property
    def task(self) -> Any:
        return self.task_obj


@registry.register
class AsyncMisbehave(AsyncNoted):
    """Leaves its marks on the session that its ORM uses, on its thread and on its context."""

    async def work(self) -> None:
        await sync_to_async(self.leave_marks)()
        translation.activate("fi")
        timezone.activate("Asia/Tokyo")

    def leave_marks(self) -> None:
        transaction.set_autocommit(False)
        Ledger.objects.create(task_id=self.task.id, note="never committed", **self.proof())
        translation.activate("fr")


@registry.register
class AsyncTell(AsyncNoted):
    """Returns what it finds where another one has left its marks."""

    async def work(self) -> dict[str, Any]:
        return {
            "here": [translation.get_language(), timezone.get_current_timezone_name()],
            "there": await sync_to_async(self.tell)(),
        }

    def tell(self) -> list[Any]:
        queries = len(connection.queries_log)
        return [translation.get_language(), transaction.get_autocommit(), queries]


@registry.register
class AsyncMeet(AsyncNoted):
    """Ends once so many of its kind have begun: they have to run at once."""

    async def work(self, directory: str, count: int) -> None:
        (Path(directory) / str(self.task.id)).touch()
        while len([*Path(directory).iterdir()]) < count:  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)


@registry.register
class AsyncBlock(AsyncNoted):
    """Keeps its event loop from running until there is a file."""

    async def work(self, path: str) -> None:
        while not Path(path).exists():  # noqa: ASYNC240 - it blocks
            time.sleep(0.01)  # noqa: ASYNC251 - it blocks


@registry.register
class AsyncExit(AsyncNoted):
    """Ends its process at every attempt, once there is a file."""

    async def work(self, path: str) -> None:
        while not Path(path).exists():  # noqa: ASYNC110, ASYNC240 - as other processes do
            await asyncio.sleep(0.01)
        os._exit(7)


@registry.register
class AsyncMix(AsyncNoted):
    """Uses the ORM in all threads there are, and tells what it has found in its context."""

    async def work(self, number: int) -> list[Any]:
        language = ("fi", "fr", "ja", "en")[number % 4]
        found = [translation.get_language(), timezone.get_current_timezone_name(), var.get()]
        translation.activate(language)
        timezone.activate("Asia/Tokyo")
        var.set(number)
        before = await sync_to_async(self.set_lock_timeout)(f"{number + 1001}ms")
        await asyncio.to_thread(Ledger.objects.count)
        await asyncio.sleep(0.01)
        await Ledger.objects.acount()
        after = await sync_to_async(self.lock_timeout)()
        kept = [translation.get_language() == language, var.get() == number]
        return [found, before, after == f"{number + 1001}ms", kept]

    def set_lock_timeout(self, value: str) -> str:
        before = self.lock_timeout()
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", [value])
        return f"{before}, {len(connection.queries_log)} queries"

    def lock_timeout(self) -> str:
        if connection.vendor != "postgresql":
            return f"{self.args[0] + 1001}ms"
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            return str(cursor.fetchone()[0])


class Threaded(Noted):
    THREAD_SAFE = True


@registry.register
class ThreadMeet(Threaded):
    """Ends once so many of its kind have begun: they have to run at once."""

    def work(self, directory: str, count: int) -> None:
        (Path(directory) / str(self.task.id)).touch()
        while len([*Path(directory).iterdir()]) < count:
            time.sleep(0.01)


@registry.register
class ThreadWait(Threaded):
    """Waits for a file, with limits and an end that can be asked for."""

    GRACE_SECONDS: ClassVar[float] = 10

    def work(self, path: str) -> None:
        while not Path(path).exists():
            time.sleep(0.01)


@registry.register
class ThreadLimited(Threaded):
    """Waits in Python, or in C, where nothing is raised."""

    TIMEOUT_SECONDS: ClassVar[float | None] = 1.0
    GRACE_SECONDS: ClassVar[float] = 0.5

    def work(self, way: str) -> None:
        if way == "in C":
            time.sleep(60)
        while True:
            time.sleep(0.01)


@registry.register
class AsyncLeave(AsyncNoted):
    """Leaves a child behind, which notes that it is cancelled."""

    async def work(self) -> None:
        self.child = asyncio.create_task(self.wait())
        await asyncio.sleep(0)

    async def wait(self) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await self.awrite("left and cancelled")
            raise


class Forking(Noted):
    """Forks; the child comes to the end as well, unless it is ended before."""

    def fork(self, path: str) -> None:
        if child := os.fork():
            os.waitpid(child, 0)
        else:
            Path(path).touch()


@registry.register
class AsyncFork(Forking, AsyncNoted):
    async def work(self, path: str) -> None:
        self.fork(path)
        await asyncio.sleep(0)


@registry.register
class AsyncForkBeside(AsyncFork):
    """Forks in what it has begun beside itself."""

    async def work(self, path: str) -> None:
        await asyncio.create_task(super().work(path))


@registry.register
class ThreadFork(Forking):
    THREAD_SAFE = True

    def work(self, path: str) -> None:
        self.fork(path)


class Telling:
    """Says who it is in each way that there is, once it has met the others."""

    def tell(self, name: str) -> None:
        print("printed", name)
        self.logger.info("logged %s", name)  # type: ignore[attr-defined]
        self.progress(1, 2, f"half of {name}")  # type: ignore[attr-defined]
        self.checkpoint({"of": name})  # type: ignore[attr-defined]

    def found(self) -> Any:
        return self.checkpointed  # type: ignore[attr-defined]


@registry.register
class AsyncTelling(Telling, AsyncMeet):
    async def work(self, directory: str, count: int, name: str = "") -> Any:
        await super().work(directory, count)
        if (found := await sync_to_async(self.found)()) is not None:
            return found
        self.tell(name)
        raise FailTask(name)


@registry.register
class ThreadTelling(Telling, ThreadMeet):
    def work(self, directory: str, count: int, name: str = "") -> Any:
        super().work(directory, count)
        if (found := self.found()) is not None:
            return found
        self.tell(name)
        raise FailTask(name)


@registry.register
class AsyncPause(AsyncNoted):
    """Says nothing, and waits."""

    async def run(self) -> None:
        await asyncio.sleep(self.args[0])


@registry.register
class ThreadPause(BaseTaskProcessor):
    """Says nothing, and blocks its thread."""

    THREAD_SAFE = True
    UNIQUE_FOR_PARAMS = False

    def run(self) -> None:
        time.sleep(self.args[0])


@processor
async def add_slowly(first: int, second: int = 0) -> int:
    """Add two numbers."""
    await asyncio.sleep(0)
    return first + second


@processor
async def count_entries(task_id: int) -> int:
    """Count what the ledger has, by the ORM."""
    return await Ledger.objects.filter(task_id=task_id).acount()
