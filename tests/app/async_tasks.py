"""Processors whose `run()` is a coroutine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.utils import timezone, translation

from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.exceptions import FailTask, PostponeTask, TaskCancelled, TaskTimedOut
from django_partisan.processor import processor
from django_partisan.registry import registry
from tests.app.models import Ledger
from tests.app.noted import Noted


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


@processor
async def add_slowly(first: int, second: int = 0) -> int:
    """Add two numbers."""
    await asyncio.sleep(0)
    return first + second


@processor
async def count_entries(task_id: int) -> int:
    """Count what the ledger has, by the ORM."""
    return await Ledger.objects.filter(task_id=task_id).acount()
