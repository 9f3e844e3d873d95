"""The processor that goes through many items, and goes on behind the last one whatever happens."""

from __future__ import annotations

import abc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar, Final

from django.db import connections, transaction

from django_partisan.database import dialect_for
from django_partisan.database.autocommit import autocommit
from django_partisan.exceptions import CancelTask, FailTask, Postpone, TaskGivenBack
from django_partisan.execution.interims import hearing
from django_partisan.lifecycle.rows import database
from django_partisan.processor.base import BaseTaskProcessor
from django_partisan.processor.calls import note
from django_partisan.processor.iteration_rules import check_iteration, checked_pause
from django_partisan.processor.streams import length_of, stream_of

_THROTTLE_SECONDS: Final = 1.0
"""How often throttle() is asked."""


class IterationProcessor(BaseTaskProcessor):
    """Subclass this, write :meth:`items` and :meth:`each`, and register the class.

    After each item its cursor is saved, so that the next attempt begins behind it: after an error,
    a kill, a deployment, a pause. Between two items it also gives its worker back where that is
    wanted: when the manager stops, when its queue or processor is paused, after MAX_RUNTIME_SECONDS
    and when :meth:`throttle` says so; none of that is charged. ``checkpoint()`` is its own.
    """

    BATCH: ClassVar[int] = 500
    """How many objects of a query set are read at once."""
    EACH_ATOMIC: ClassVar[bool] = False
    """Whether each item and its cursor are one transaction on the tasks' database."""
    MAX_RUNTIME_SECONDS: ClassVar[float | None] = 300.0
    """After so long the worker is given back between two items, and others have their turn."""
    COUNT: ClassVar[bool] = False
    """Whether the items are counted once, at the first attempt, as the total of the progress."""
    RESUME_AFTER_PROGRESS: ClassVar[bool] = True
    """Whether an error after progress counts as the first one of its own retries."""
    MIN_PROGRESS: ClassVar[int] = 1
    """How many items an attempt must have done for that."""
    MAX_RESUMPTIONS: ClassVar[int] = 100
    """How often that may be; from then on errors are counted as ever."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_iteration(cls)

    @abc.abstractmethod
    def items(self, cursor: Any) -> Any:
        """Return what there is to do behind ``cursor``, which is None at the beginning.

        A query set is gone through by its primary keys, whatever the cursor, and a list or another
        sequence by places: return all of it. Anything else that can be iterated, as a generator,
        begins behind the cursor itself and gives pairs: an item, and the cursor behind it.
        """

    @abc.abstractmethod
    def each(self, item: Any) -> None:
        """Do one item."""

    def total(self) -> int | None:
        """Return how many items there are in all, None when nobody knows.

        Asked once, at the first attempt; where it is None and COUNT is True, the items are counted.
        """
        return None

    def throttle(self) -> float | timedelta | None:
        """Return for how long to give the worker back, None to go on.

        Asked between two items, once a second at most: say so while something is overloaded.
        """
        return None

    def run(self) -> None:
        """Do the items that are left, one by one."""
        saved = self.checkpointed or {"cursor": None, "done": 0, "total": self._total()}
        cursor, done, total = saved["cursor"], saved["done"], saved["total"]
        stream = stream_of(self.items(cursor), cursor, self.BATCH, f"{type(self).__name__}.items()")
        if done or total is not None:
            self.progress(done, total)  # The last word may have been lost with a manager.
        turns, first = _Turns(self), done
        try:
            for item, behind in stream:
                turns.give_back_if_due(has_progress=done > first)
                state = {"cursor": behind, "done": done + 1, "total": total}
                with self._step():
                    self.each(item)
                    self.checkpoint(state)
                cursor, done = behind, done + 1
                self.progress(done, total)
        except Exception as error:
            if self._resumes_after(error, done - first):
                note(self, "has_come_further", True)
                note(self, "_resumptions", self._resumptions + 1)
                self.checkpoint({"cursor": cursor, "done": done, "total": total})
            raise

    def _total(self) -> int | None:
        total = self.total()
        return length_of(self.items(None)) if total is None and self.COUNT else total

    @contextmanager
    def _step(self) -> Iterator[None]:
        if not self.EACH_ATOMIC:
            yield
            return
        alias = database()
        connection = connections[alias]
        with (
            autocommit(connection),
            dialect_for(alias).writing(connection),
            # In run_now() the caller may have a transaction of its own.
            transaction.atomic(alias, durable=self._claimed is not None),
        ):
            yield

    def _resumes_after(self, error: Exception, count: int) -> bool:
        return (
            self.RESUME_AFTER_PROGRESS
            and count >= self.MIN_PROGRESS
            and self._resumptions < self.MAX_RESUMPTIONS
            and not isinstance(error, (Postpone, CancelTask, FailTask))
        )


class _Turns:
    """Says when a worker is to be given back; never outside of a worker."""

    def __init__(self, processor: IterationProcessor) -> None:
        self._processor = processor
        self._task = processor._claimed  # noqa: SLF001 - of this room
        now, most = time.monotonic(), processor.MAX_RUNTIME_SECONDS
        self._end_at = float("inf") if most is None else now + most
        self._ask_at = now

    def give_back_if_due(self, *, has_progress: bool) -> None:
        """Raise TaskGivenBack if it is time to; without progress only where somebody wants that."""
        if self._task is None:
            return
        if hearing.listener.wants_back(self._task):
            raise TaskGivenBack
        now = time.monotonic()
        if has_progress and now >= self._end_at:
            raise TaskGivenBack(0.0)
        if now >= self._ask_at:
            self._ask_at = now + _THROTTLE_SECONDS
            pause = checked_pause(self._processor.throttle(), type(self._processor).__qualname__)
            if pause:
                raise TaskGivenBack(pause)
