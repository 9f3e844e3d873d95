"""Deleting finished tasks after they were recorded, where other models point at tasks."""

from __future__ import annotations

import logging

from django_partisan import lifecycle
from django_partisan.config.const import NEVER
from django_partisan.lifecycle.deletion import DELETE_BATCH
from django_partisan.manager.recorder import Recorder

logger = logging.getLogger(__name__)


class Completed:
    """Deletes finished tasks right after they were recorded, as Django deletes.

    Where no other model points at tasks there is never anything to do: recording deletes them.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._has_told = False

    def next_deadline(self) -> float:
        """Return at once while there is something to delete."""
        return 0.0 if self._recorder.completed else NEVER

    def turn(self, now: float) -> None:  # noqa: ARG002 - it is due whenever there is something
        """Delete a batch; what is not deleted by an error is tried again, unless it is refused."""
        waiting = self._recorder.completed
        batch = [waiting[place] for place in range(min(DELETE_BATCH, len(waiting)))]
        if not batch:
            return
        kept = lifecycle.delete_completed(batch).kept
        for _ in batch:
            waiting.popleft()
        if kept and not self._has_told:
            self._has_told = True
            logger.warning(
                "task %d has finished and stays, since something points at it; so do others",
                kept[0],
            )
