"""The threads of a worker that runs several tasks at once: each is one task's at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from django_partisan.worker.connections import close_own_ended_connections, tidy_own_connections


class Threads:
    """Lends threads, and takes them back for others; those used last are lent first.

    There are as many as were ever lent at once. Each keeps its database connections, and it is the
    only one that touches them.
    """

    def __init__(self) -> None:
        self._idle: list[ThreadPoolExecutor] = []

    def borrow(self) -> ThreadPoolExecutor:
        """Return a thread that is nobody's, as an executor."""
        try:
            return self._idle.pop()
        except IndexError:
            return ThreadPoolExecutor(1, thread_name_prefix="partisan-task")

    def give_back(self, thread: ThreadPoolExecutor) -> None:
        """Take a thread back that runs nothing any more."""
        self._idle.append(thread)


class TaskThread(Executor):
    """The thread of one task, borrowed with the first call that needs it."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._own: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._is_over = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have something run in the thread; raise RuntimeError after the end of the task."""
        with self._lock:
            if self._is_over:
                raise RuntimeError("the task that this belongs to has ended")
            if self._own is None:
                self._own = self._threads.borrow()
                self._own.submit(close_own_ended_connections)
            return self._own.submit(fn, *args, **kwargs)

    def end(self, processor_class: str) -> Future[None] | None:
        """Let nothing of the task stay in the thread; None where it has not had one.

        What the task has left running there ends first. Then the thread goes to others.
        """
        with self._lock:
            self._is_over = True
            if self._own is None:
                return None
            own, self._own = self._own, None
            tidied: Future[None] = own.submit(tidy_own_connections, processor_class)
        tidied.add_done_callback(lambda _: self._threads.give_back(own))
        return tidied


class TidyThreads(ThreadPoolExecutor):
    """The threads for whatever tasks run in any thread, as ``asyncio.to_thread()`` does.

    Each call finds sessions as good as new, since the next one may be another task's.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have something run in one of the threads."""
        return super().submit(_tidied, fn, args, kwargs)


def _tidied(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    close_own_ended_connections()
    try:
        return fn(*args, **kwargs)
    finally:
        tidy_own_connections()
