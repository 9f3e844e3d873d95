"""Storing what tries have printed: at their end, and once a second while somebody follows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from django.db import Error

from django_partisan import lifecycle
from django_partisan.attempt import FINISHED, ClaimedTask, Outcome
from django_partisan.config.const import NEVER
from django_partisan.database import dialect_for
from django_partisan.exceptions import ProcessorClassNotFound
from django_partisan.execution.error_report import secrets_of
from django_partisan.lifecycle.rows import database
from django_partisan.logs import extra_of
from django_partisan.manager.pool.output import Try, WorkerOutput
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.payloads.printed import Printed, PrintedText
from django_partisan.registry.registry import registry

logger = logging.getLogger(__name__)
FOLLOWED_SECONDS: Final = 1.0
"""How often what somebody follows is stored."""
STATEMENT_BYTES: Final = 2 << 20
"""How much one statement stores, and one output more."""
MOST_BYTES: Final = 32 << 20
"""So much may wait to be stored, while the database cannot be used; what is too much is lost."""


class Outputs:
    """Stores output with the next statement after a try's end, and before its outcome.

    So whoever sees the outcome sees all of the output. ``deletes`` says of a queue whether its
    tasks are deleted once they have finished: nothing of these is stored.
    """

    def __init__(self, pool: WorkerPool, deletes: Callable[[str], bool]) -> None:
        self._pool = pool
        self._deletes = deletes
        self._pending: dict[Try, tuple[ClaimedTask, PrintedText]] = {}
        self._deleted: set[int] = set()
        self._followed: Collection[int] = ()
        self._texts: dict[Try, PrintedText] = {}
        self._waiting_bytes = 0
        self._look_at = 0.0

    def ended(self, output: WorkerOutput, task: ClaimedTask, outcome: Outcome) -> None:
        """Take in that a try has ended, whose output is complete."""
        if not (output.done or self._texts):
            return  # As with most of them.
        printed, text = output.take(task), self._texts.pop(task[:2], None)
        if outcome.kind == FINISHED and self._deletes(task.queue_name):
            self._pending.pop(task[:2], None)
            if text is not None:
                self._deleted.add(task.id)  # The task is about to be: its row has to go as well.
        elif printed is not None and _is_kept(task):
            self._add(task, printed, text)

    def follow(self, ids: Collection[int]) -> None:
        """Store what these tasks print, and no others, while they run."""
        self._followed = ids

    def next_deadline(self) -> float:
        """Return at once while something waits, else the next look at what is followed."""
        if self._pending or self._deleted:
            return 0.0
        return self._look_at if self._followed else NEVER

    def turn(self, now: float) -> None:
        """Store what waits; raises the database's error, and may then be called again."""
        if self._followed and now >= self._look_at:
            self._look_at = now + FOLLOWED_SECONDS
            self._take_news()
        if self._pending:
            self._store()
            self._pending.clear()
            self._waiting_bytes = 0
        if self._deleted:
            lifecycle.delete_outputs(self._deleted)
            self._deleted.clear()

    def _take_news(self) -> None:
        for worker in list(self._pool.workers.values()):
            if worker.output is None or not any(self._is_followed(i.task) for i in worker.in_hand):
                continue
            before = worker.running
            self._pool.receive(worker)
            for item in list(worker.in_hand):
                if self._is_followed(item.task):
                    # What was read before is its own if nothing that was said since tells of its
                    # end: a silent task leaves no border.
                    self._add_lines(worker.output, item.task, is_first=item.task is before)

    def _is_followed(self, task: ClaimedTask) -> bool:
        return task.id in self._followed

    def _add_lines(self, output: WorkerOutput, task: ClaimedTask, *, is_first: bool) -> None:
        if lines := output.take_lines(task, is_first=is_first):
            text = self._texts.setdefault(task[:2], PrintedText(secrets_of(task)))
            if _is_kept(task):
                self._add(task, lines, text)

    def _add(self, task: ClaimedTask, printed: Printed, text: PrintedText | None) -> None:
        text = text or PrintedText(secrets_of(task))
        text.add(printed)
        self._waiting_bytes += text.size
        if self._waiting_bytes > MOST_BYTES:
            logger.warning(
                "task %d: what it has printed is lost: too much waits for the database",
                task.id,
                extra=extra_of(task),
            )
        else:
            self._pending[task[:2]] = task, text

    def _store(self) -> None:
        try:
            for batch in _batches([*self._pending.values()]):
                lifecycle.store_outputs(batch)
        except Error as error:
            if dialect_for(database()).is_refusal(error):
                self._pending.clear()  # It would be refused again and again.
                self._waiting_bytes = 0
            raise


def _batches(
    pending: list[tuple[ClaimedTask, PrintedText]],
) -> Iterator[list[tuple[ClaimedTask, PrintedText]]]:
    """Yield what goes into one statement, so that none becomes too large."""
    batch: list[tuple[ClaimedTask, PrintedText]] = []
    size = 0
    for task, text in pending:
        batch.append((task, text))
        size += text.size
        if size > STATEMENT_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _is_kept(task: ClaimedTask) -> bool:
    try:
        processor: Any = registry.get_processor_class_by_name(task.processor_class)
    except ProcessorClassNotFound:
        return True
    return bool(processor.CAPTURE_OUTPUT)
