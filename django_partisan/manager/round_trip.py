"""Which statement goes to the database next: one that records, one that claims, or both at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from django.db import Error

from django_partisan import lifecycle
from django_partisan.attempt import CRASHED, ORPHANED, RELEASED, ClaimedTask, Outcome
from django_partisan.config.const import NEVER
from django_partisan.database.values import Claimed
from django_partisan.fault_points import reach
from django_partisan.lifecycle import notifications
from django_partisan.lifecycle.transitions import EndedAttempt, orphan_outcome
from django_partisan.manager.claiming.claimer import Claimer
from django_partisan.manager.claiming.queues import Queues, Wanted
from django_partisan.manager.database_link import Answer, DatabaseLink
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.pool.worker_pool import WorkerPool
from django_partisan.manager.recorder import FLUSH_OUTCOMES, Recorder
from django_partisan.manager.standing import Standing


class RoundTrip:
    """Records what has ended and fills the local queue, with as few statements as possible.

    Every method that uses the database raises its error; nothing is lost by that.
    """

    def __init__(
        self,
        queues: Queues,
        recorder: Recorder,
        queue: LocalQueue,
        pool: WorkerPool,
        link: DatabaseLink,
        heartbeat: Heartbeat,
        standing: Standing,
    ) -> None:
        self.queue = queue
        self.recorder = recorder
        self._queues = queues
        self._pool = pool
        self._link = link
        self._heartbeat = heartbeat
        self._standing = standing
        self._released: set[str] = set()
        self.before_recording: Callable[[float], None] = lambda _: None
        """Called right before outcomes are recorded, with the moment."""

    def connected(self) -> None:
        """Begin anew on a fresh connection.

        Tasks of a claim whose answer was lost with the former connection are taken in.
        """
        self._queues.connected()
        if self._heartbeat.manager_id is not None:
            known = self._pool.held_ids() | self.queue.ids() | self.recorder.ids()
            self.queue.put_first(lifecycle.lost_claims(self._heartbeat.manager_id, known))

    def next_deadline(self) -> float:
        """Return when :meth:`turn` has something to do."""
        moments = [self._queues.listener.next_check()]
        if len(self.recorder):
            moments.append(0.0 if self._is_idle() else self.recorder.next_deadline())
        if self._standing.may_claim:
            moments.append(self._queues.next_deadline(self._held()))
        return min(moments)

    def turn(self, now: float) -> None:
        """Record and claim what is due.

        Recording with a claim is left under way beside the loop, so nothing else may use the
        database after this without asking :meth:`DatabaseLink.ready`.
        """
        wanted = self._queues.wanted(now, self._held()) if self._standing.may_claim else None
        # What is pending goes along with a claim, due or not: it costs no statement of its own.
        match self._is_record_due(now) or (wanted is not None and len(self.recorder) > 0), wanted:
            case False, None:
                return
            case True, None:
                self._record(now)
            case False, Wanted():
                self._claim(wanted, now)
            # In doubt about the database, what the loop does itself is the test of it.
            case True, Wanted() if self.recorder.is_plain and self._link.is_up:
                self.before_recording(now)
                self._begin_to_record_and_claim(wanted)
            case True, Wanted():
                self._record(now)
                self._claim(wanted, now)

    def room(self) -> int:
        """Return how many tasks the local queue may be filled with now."""
        return self._queues.room(self._held())

    def ended(self, task: ClaimedTask, outcome: Outcome, pid: int | None = None) -> None:
        """Take an outcome in, to be recorded soon; ``pid`` is of the worker that ran the task."""
        now = time.monotonic()
        node_name = self._heartbeat.identity.node_name
        # By position: by name it costs half as much again, for each task.
        self.recorder.add(EndedAttempt(task, outcome, pid, node_name), now)
        if outcome.kind == RELEASED:
            self._released.add(task.queue_name)
        if outcome.delay_seconds is not None:
            self._queues.expect(task.queue_name, now + outcome.delay_seconds)
        elif outcome.due_at is not None:
            self._queues.expect(task.queue_name, now + outcome.due_at - time.time())
        elif outcome.kind in (CRASHED, ORPHANED) or task.repeat_seconds is not None:
            self._queues.expect(task.queue_name, now)

    def expect(self, task: ClaimedTask) -> None:
        """Look soon at the queue of a task that goes back to it."""
        self._queues.expect(task.queue_name, time.monotonic())

    def was_recorded(self, task: ClaimedTask) -> None:
        """Take in that the worker of a task has recorded itself that it finished."""
        self.recorder.was_recorded(task)
        if task.repeat_seconds is not None:
            self._queues.expect(task.queue_name, time.monotonic())

    def release(self, tasks: Iterable[ClaimedTask]) -> None:
        """Take in that tasks which have not started go back to their queues, uncharged."""
        for task in tasks:
            self.ended(task, orphan_outcome(task, RELEASED, None))

    def flush_released(self, now: float) -> None:
        """Record what was released, and wake the other managers of these queues."""
        self.recorder.flush(now)
        while self._released:
            notifications.announce(self._link.alias, self._released.pop())

    def _held(self) -> int:
        """Return how many tasks wait here, with those that workers have beyond one each."""
        return self.queue.qsize() + max(0, self._pool.in_hand - self._pool.places)

    def _is_record_due(self, now: float) -> bool:
        batch = self._queues.worthwhile_outcomes(FLUSH_OUTCOMES)
        return self.recorder.is_due(now, batch, is_idle=self._is_idle())

    def _is_idle(self) -> bool:
        """Say whether nothing is about to happen that outcomes could be recorded together with."""
        if self.queue.qsize() or self._pool.in_hand:
            return False
        flush_at = self.recorder.next_deadline()
        is_claim_near = flush_at != NEVER and self._queues.next_claim() <= flush_at
        return not (self._standing.may_claim and is_claim_near)

    def _record(self, now: float) -> None:
        self.before_recording(now)
        try:
            self.recorder.flush(now)
        except Error as error:
            self.recorder.flush_singly(error, now)

    def _claim(self, wanted: Wanted, now: float) -> None:
        claimer, limit = wanted
        claimed = lifecycle.claim(claimer.queue_name, limit, self._manager_id, claimer.cursors())
        self._took(claimer, claimed, limit, now)

    def _begin_to_record_and_claim(self, wanted: Wanted) -> None:
        claimer, limit = wanted
        batch, manager_id = self.recorder.batch(), self._manager_id
        call = lifecycle.record_and_claim(
            batch, claimer.queue_name, limit, manager_id, claimer.cursors()
        )

        def take_answer(answer: Answer) -> None:
            now = time.monotonic()
            try:
                recorded, claimed = answer()
            except Error as error:
                self.recorder.flush_singly(error, now)
                return
            # Who lost his registration meanwhile must not run what he claimed under it.
            if self._heartbeat.manager_id == manager_id:
                self._took(claimer, claimed, limit, now)
            self.recorder.confirm(batch, recorded, now)

        self._link.begin(call, take_answer)
        reach("manager.recording_and_claiming")

    def _took(self, claimer: Claimer, claimed: Claimed, limit: int, now: float) -> None:
        was_empty = self.queue.qsize() == 0
        self.queue.put(claimed, now)
        self._queues.took(claimer, claimed, limit, now, was_empty=was_empty)

    @property
    def _manager_id(self) -> int:
        assert self._heartbeat.manager_id is not None
        return self._heartbeat.manager_id
