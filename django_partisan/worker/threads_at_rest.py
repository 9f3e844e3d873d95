"""Which threads run nobody's code just now: those of executors that wait for work."""

from __future__ import annotations

import concurrent.futures.thread
import sys
import threading
from types import CodeType, FrameType
from typing import Any, Final

_MACHINERY: Final = ("threading", "concurrent.futures.", "asyncio.")
_frames: Final = vars(sys)["_current_frames"]
_EXECUTOR: Final[CodeType] = vars(concurrent.futures.thread)["_worker"].__code__


def is_at_rest(thread: threading.Thread) -> bool:
    """Say whether nothing but this thread's own caller can be using what belongs to a thread.

    True for the calling thread, one that has ended, and one of an executor that has no work: the
    next task may be given such a thread, as `asyncio.run()` with the ORM is.
    """
    if thread is threading.current_thread() or not thread.is_alive():
        return True
    frame = _frames().get(thread.ident or 0)
    is_executor = False
    while frame is not None:
        if not _module(frame).startswith(_MACHINERY):
            return False
        is_executor = is_executor or frame.f_code is _EXECUTOR
        frame = frame.f_back
    return is_executor


def _module(frame: FrameType) -> str:
    names: dict[str, Any] = frame.f_globals
    return str(names.get("__name__"))
