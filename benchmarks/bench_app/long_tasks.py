"""Tasks that say something while they run, or run beside others in one worker."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time

from benchmarks.bench_app.partisan_tasks import Noop
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import register

_BLOCK = b"x" * 1023 + b"\n"


@register
class Print(BaseTaskProcessor):
    """Prints so many KiB, past Python's own streams."""

    def run(self) -> float:
        """Return how many seconds that took."""
        began = time.perf_counter()
        block, count = _BLOCK * 64, self.args[0] // 64
        for _ in range(count):
            os.write(1, block)
        return time.perf_counter() - began


@register
class PrintInC(BaseTaskProcessor):
    """Prints so many KiB by C, which keeps Python's lock all the while."""

    def run(self) -> float:
        """Return how many seconds that took."""
        began, write = time.perf_counter(), ctypes.PyDLL(None).write
        block = _BLOCK * self.args[0]
        done = 0
        while done < len(block):
            done += write(1, block[done:], len(block) - done)
        return time.perf_counter() - began


@register
class PrintTime(BaseTaskProcessor):
    """Prints what time it is, some times a second, for somebody who follows."""

    def run(self) -> None:
        """Print so many lines."""
        for _ in range(self.args[0]):
            print(time.time_ns(), flush=True)
            time.sleep(0.3)


@register
class Checkpoints(BaseTaskProcessor):
    """Says where it is, so many times."""

    def run(self) -> float:
        """Return how many seconds that took."""
        began = time.perf_counter()
        for number in range(self.args[0]):
            self.checkpoint({"at": number})
        return time.perf_counter() - began


@register
class AsyncNoop(Noop):
    """As good as nothing, in a coroutine."""

    async def run(self) -> None:
        """Count."""
        super().run()


@register
class AsyncSleep(Noop):
    """Waits for a tenth of a second in a coroutine."""

    async def run(self) -> None:
        """Wait, and count."""
        await asyncio.sleep(0.1)
        super().run()


@register
class ThreadSleep(Noop):
    """Waits for a tenth of a second in a thread."""

    THREAD_SAFE = True

    def run(self) -> None:
        """Wait, and count."""
        time.sleep(0.1)
        super().run()
