"""The asynchronous forms of `.delay()` and `.delay_many()`, which only hand on what they get."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, Unpack

from asgiref.sync import sync_to_async

from django_partisan.processor.habits import refusing_habits
from django_partisan.processor.options import DelayOptions

if TYPE_CHECKING:
    from django_partisan.models import Task


P = ParamSpec("P")
R = TypeVar("R")


async def in_its_thread(call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Make a call in the thread of thread-sensitive code, and return what it returns."""
    # Bound here: what stands between has parameters of its own, by names a function may have.
    return await sync_to_async(partial(call, *args, **kwargs), thread_sensitive=True)()


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
        return await in_its_thread(self.delay, **options)

    @classmethod
    async def adelay_many(
        cls: _DelayingMany, items: Iterable[Any], **options: Unpack[DelayOptions]
    ) -> list[Task]:
        """Store a task for each item from asynchronous code: as :meth:`delay_many`.

        ``items`` are iterated over in that thread, too, so they may be a query set.
        """
        return await in_its_thread(cls.delay_many, items, **options)
