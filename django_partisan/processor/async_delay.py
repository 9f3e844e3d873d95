"""The asynchronous forms of `.delay()` and `.delay_many()`, which only hand on what they get."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, Unpack

from asgiref.sync import sync_to_async

from django_partisan.processor.habits import refusing_habits
from django_partisan.processor.options import DelayOptions

if TYPE_CHECKING:
    from django_partisan.models import Task


class _Delaying(Protocol):
    def delay(self, **options: Unpack[DelayOptions]) -> Task: ...


class _DelayingMany(Protocol):
    def delay_many(self, items: Iterable[Any], **options: Unpack[DelayOptions]) -> list[Task]: ...


class AsyncDelay:
    """Gives a processor :meth:`adelay` and :meth:`adelay_many`."""

    @refusing_habits
    async def adelay(self: _Delaying, **options: Unpack[DelayOptions]) -> Task:
        """Store the task from asynchronous code: as :meth:`delay`, with its keywords and errors.

        It runs in the thread of thread-sensitive code, on the database connection of that thread,
        and so in no transaction of the caller's: a function under ``sync_to_async`` that opens one
        calls :meth:`delay` itself. Where the await is cancelled, the task may have been stored.
        """
        return await sync_to_async(self.delay, thread_sensitive=True)(**options)

    @classmethod
    async def adelay_many(
        cls: _DelayingMany, items: Iterable[Any], **options: Unpack[DelayOptions]
    ) -> list[Task]:
        """Store a task for each item from asynchronous code: as :meth:`delay_many`.

        ``items`` are iterated over in that thread, too, so they may be a query set.
        """
        return await sync_to_async(cls.delay_many, thread_sensitive=True)(items, **options)
