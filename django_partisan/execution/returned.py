"""What `run()` returned, refused where it stands for work that has not been done."""

from __future__ import annotations

from asyncio import Future
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final

_NOT_BEGUN: Final = (CoroutineType, GeneratorType)
_DEFERRED: Final = (*_NOT_BEGUN, AsyncGeneratorType, Future)


def done(value: Any) -> Any:
    """Return what ``run()`` returned; raise TypeError for a coroutine, a generator or a future."""
    if isinstance(value, _DEFERRED):
        if isinstance(value, _NOT_BEGUN):
            value.close()
        raise TypeError(
            f"run() returned a {type(value).__name__}, whose code has not run; await it with "
            "asgiref.sync.async_to_sync, or iterate over it, inside run()"
        )
    return value
