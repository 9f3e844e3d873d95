"""What the manager does with what its workers report, and with their deaths."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Protocol

from django_partisan import lifecycle
from django_partisan.attempt import (
    CRASHED,
    ORPHANED,
    RECORDED,
    RELEASED,
    ClaimedTask,
    Interim,
    Outcome,
)
from django_partisan.exceptions import WorkerDied
from django_partisan.lifecycle.telling import tell_died
from django_partisan.lifecycle.transitions import orphan_outcome
from django_partisan.manager.database_link import DatabaseLink
from django_partisan.manager.pool.hard_limits import HardLimits
from django_partisan.manager.pool.output import WorkerOutput
from django_partisan.manager.pool.worker_handle import WorkerHandle
from django_partisan.manager.round_trip import RoundTrip
from django_partisan.manager.start_limit import StartLimit
from django_partisan.manager.stride import Stride

logger = logging.getLogger(__name__)


class Outputs(Protocol):
    """Who is given what tries have printed."""

    def ended(self, output: WorkerOutput, task: ClaimedTask, outcome: Outcome) -> None:
        """Take in that a try has ended, whose output is complete."""


class WorkerReports:
    """Observes the pool: outcomes go to the recorder, unstarted tasks back to the local queue."""

    def __init__(
        self,
        round_trip: RoundTrip,
        hard_limits: HardLimits,
        link: DatabaseLink,
        stride: Stride | None,
        start_limit: StartLimit | None,
        outputs: Outputs,
    ) -> None:
        self._round_trip = round_trip
        self._hard_limits = hard_limits
        self._link = link
        self._stride = stride
        self._start_limit = start_limit
        self._outputs = outputs

    def told(self, interims: Iterable[Interim]) -> None:
        """Take in what tasks that go on tell of themselves."""
        for interim in interims:
            self._round_trip.recorder.interims.add(interim)

    def ended(self, worker: WorkerHandle, task: ClaimedTask, outcome: Outcome) -> None:
        """Take a worker's report in."""
        if self._stride is not None and outcome.started is not None:
            self._stride.ended(task, (outcome.ended - outcome.started) / worker.places)
        if self._start_limit is not None:
            self._start_limit.ended()
        if worker.output is not None:
            self._outputs.ended(worker.output, task, outcome)
        if outcome.kind == RECORDED:
            self._round_trip.was_recorded(task)
            return
        self._round_trip.ended(task, outcome, worker.pid)

    def died(self, worker: WorkerHandle, unstarted: list[ClaimedTask], reason: str) -> None:
        """Take a worker's death in: only a task that it ran alone is charged."""
        self._round_trip.queue.put_first(unstarted)
        if self._start_limit is not None:
            self._start_limit.ended(len(worker.in_hand))
        for item in worker.in_hand:
            if self._stride is not None:
                seconds = (time.monotonic() - worker.changed_at) / worker.places
                self._stride.ended(item.task, seconds)
            self._charge(item.task, worker, reason)
        if not worker.is_stopping and not worker.kill_reason:
            logger.warning("%s; starting another", reason)
            if not worker.is_over_limit:
                is_known = len(worker.in_hand) == 1
                tell_died(worker.running if is_known else None, worker.pid, reason)

    def prove_start(self, task: ClaimedTask) -> bool:
        """Write that a formerly rescued task starts now, so that a peer can prove it too."""
        started: set[int] = set()
        is_known = self._link.use(
            time.monotonic(), lambda: started.update(lifecycle.mark_started([task]))
        )
        if not is_known:
            self._round_trip.queue.put_first([task])
        elif not started:
            logger.warning("task %d is not ours any more; it is not run", task.id)
        return bool(started)

    def _charge(self, task: ClaimedTask, worker: WorkerHandle, reason: str) -> None:
        outcome = self._hard_limits.outcome(worker, task)
        if outcome is None:
            kind = RELEASED if worker.kill_reason else CRASHED
            if kind == CRASHED and (count := len(worker.in_hand)) > 1:
                kind = ORPHANED  # Nobody knows which one it was: see Chunks.
                reason += f" (there were {count} tasks in it, and each runs alone next)"
            outcome = orphan_outcome(task, kind, WorkerDied(reason))
        elif outcome.kind == RELEASED:
            self._round_trip.expect(task)
        if worker.output is not None:
            self._outputs.ended(worker.output, task, outcome)
        self._round_trip.ended(task, outcome, worker.pid)
