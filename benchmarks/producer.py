"""A producer beside the engine: stores tasks in bulk, so that there is always a backlog."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from django.db import DEFAULT_DB_ALIAS, connection

from benchmarks.figures import BenchError
from benchmarks.rows import Rows, fill
from benchmarks.tally import Tally
from django_partisan.config.const import DEFAULT_QUEUE_NAME
from django_partisan.lifecycle.notifications import announce

PAUSE_SECONDS = 0.01


class Producer(threading.Thread):
    """Stores ``chunk`` tasks whenever fewer than twice as many wait, ``most`` in all."""

    def __init__(self, tally: Tally, *, chunk: int, most: int) -> None:
        super().__init__(name="producer")
        self._tally = tally
        self._chunk = chunk
        self._most = most
        self._stored = 0
        self._error: Exception | None = None
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self.join()
        if self._error is not None and error is None:
            raise BenchError("The producer failed") from self._error

    def run(self) -> None:
        """Store tasks until the end of the block."""
        try:
            while not self._stopping.is_set():
                self._turn()
        except Exception as error:  # noqa: BLE001  # raised where the block ends
            self._error = error
        finally:
            connection.close()  # this thread's own

    def _turn(self) -> None:
        waiting = self._stored - self._tally.ran()
        if waiting >= 2 * self._chunk or self._stored + self._chunk > self._most:
            self._stopping.wait(PAUSE_SECONDS)
            return
        fill(Rows(count=self._chunk, first=self._stored))
        announce(DEFAULT_DB_ALIAS, DEFAULT_QUEUE_NAME)
        self._stored += self._chunk
