"""What `run()` returned: awaited where it has to be, refused where it is work left undone."""

from __future__ import annotations

from asyncio import Future
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final

from asgiref.sync import async_to_sync

from django_partisan.execution.processor import Processor

_NOT_BEGUN: Final = (CoroutineType, GeneratorType)
_DEFERRED: Final = (*_NOT_BEGUN, AsyncGeneratorType, Future)


def run_here(processor: Processor) -> Any:
    """Return what a processor returns, which runs in the caller's thread, as does its ORM.

    So an asynchronous one uses the caller's connections, and is part of the caller's transaction.
    Raises TypeError for what :func:`done` refuses, and RuntimeError for an asynchronous one inside
    of an event loop.
    """
    return done(async_to_sync(processor.run)() if processor.runs_async else processor.run())


def done(value: Any) -> Any:
    """Return what ``run()`` returned; raise TypeError for a coroutine, a generator or a future."""
    if isinstance(value, _DEFERRED):
        if isinstance(value, _NOT_BEGUN):
            value.close()
        raise TypeError(
            f"run() returned a {type(value).__name__}, whose code has not run; await it in an "
            "async def run(self), by asgiref.sync.async_to_sync, or iterate over it, inside run()"
        )
    return value
