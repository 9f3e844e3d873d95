"""What running tasks have told of themselves, kept until it is written."""

from __future__ import annotations

import logging
import time
from typing import Final

from django.db import Error

from django_partisan import lifecycle
from django_partisan.attempt import Interim
from django_partisan.config.const import NEVER
from django_partisan.database import dialect_for
from django_partisan.fault_points import reach
from django_partisan.lifecycle.rows import database
from django_partisan.logs import one_line

logger = logging.getLogger(__name__)
_LOCKED_SECONDS: Final = 0.2


class Interims:
    """Keeps the last that each task has told: as many as the workers run, and no more.

    It is a duty of the manager, and what ends is preceded by its last word: the recorder writes all
    that is left here before it records. Workers see to it that a task tells no more than once a
    second.
    """

    def __init__(self) -> None:
        self._pending: dict[int, Interim] = {}
        self._write_at = 0.0
        self.tellers: set[int] = set()
        """The tasks that have told anything, until their end is recorded."""
        self.savers: set[int] = set()
        """Those of them that have a checkpoint, to be forgotten once they have finished."""

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, interim: Interim) -> None:
        """Take in what a task tells, in place of what it has told before.

        One that has but a number says that the task has a checkpoint, which it has written itself.
        """
        self.tellers.add(interim.task_id)
        if interim.number:
            self.savers.add(interim.task_id)
        if interim.checkpoint is not None or interim.done is not None:
            self._pending[interim.task_id] = interim.over(self._pending.get(interim.task_id))

    def part_with(self, task_id: int) -> None:
        """Take in that the end of a task is recorded, or that it is somebody else's by now."""
        self.tellers.discard(task_id)
        self.savers.discard(task_id)

    def next_deadline(self) -> float:
        """Return when there is something to write; NEVER while there is nothing."""
        return self._write_at if self._pending else NEVER

    def turn(self, now: float) -> None:
        """Write what is due; raises the database's error with everything still to be written."""
        if now >= self.next_deadline():
            self.write()

    def write(self) -> None:
        """Write everything that was told under leases that still hold."""
        if not self._pending:
            return
        told = list(self._pending.values())
        try:
            written = lifecycle.write_interims(told)
        except Error as error:
            if not dialect_for(database()).is_refusal(error):
                raise
            logger.warning("what %d tasks tell is refused: %s", len(told), one_line(error))
            self._pending.clear()
            return
        reach("manager.wrote_interims")
        self._keep([interim for interim in told if interim.task_id not in written])

    def _keep(self, unwritten: list[Interim]) -> None:
        """Keep what could not be written since somebody has locked its row; the rest is stale."""
        held = lifecycle.leases_held(unwritten) if unwritten else set()
        self._pending = {one.task_id: one for one in unwritten if one.task_id in held}
        self._write_at = time.monotonic() + _LOCKED_SECONDS if held else 0.0
        for stale in unwritten:
            if stale.task_id not in held:
                self.part_with(stale.task_id)
                logger.debug(
                    "task %d is not ours any more: what it tells changes nothing", stale.task_id
                )
