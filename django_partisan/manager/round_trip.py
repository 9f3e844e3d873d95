"""The manager's trade with the database: outcomes out, tasks in, at the right time, in batches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

from django.db import Error

from django_partisan import lifecycle
from django_partisan.attempt import CRASHED, RELEASED, ClaimedTask, Outcome
from django_partisan.database.values import Surveyed
from django_partisan.fault_points import reach
from django_partisan.lifecycle import notifications
from django_partisan.lifecycle.transitions import EndedAttempt, orphan_outcome
from django_partisan.manager.claiming.cursors import Cursors
from django_partisan.manager.claiming.prefetch import CLAIM_TASKS, Prefetch
from django_partisan.manager.claiming.wakeup import Wakeup
from django_partisan.manager.database_link import Answer, DatabaseLink
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.recorder import FLUSH_OUTCOMES, Recorder
from django_partisan.manager.runtimes import Runtimes
from django_partisan.settings import ProcessSettings, QueueSettings

_LOCKED_SECONDS: Final = 0.1


class Exchange:
    """Keeps the local queue between MIN and MAX, and records what has ended.

    Every method that uses the database raises its error; nothing is lost by that.
    """

    def __init__(
        self,
        queue_name: str,
        settings: QueueSettings,
        process_settings: ProcessSettings,
        link: DatabaseLink,
        heartbeat: Heartbeat,
        runtimes: Runtimes,
    ) -> None:
        self._queue_name = queue_name
        self._settings = settings
        self._process_settings = process_settings
        self._link = link
        self._heartbeat = heartbeat
        self.queue = LocalQueue()
        self.recorder = Recorder(
            delete_finished=settings.DELETE_TASKS_ON_COMPLETE,
            max_rescues=process_settings.MAX_RESCUES,
        )
        self.wakeup = Wakeup(
            link, queue_name, settings.SLEEP_DELAY_SECONDS, process_settings.NOTIFY
        )
        self._prefetch = Prefetch(settings, runtimes)
        self._release_old_at = 0.0
        self._cursors = Cursors()
        self._has_more = True
        self._has_surveyed = False
        self._empty_claims = 0
        self.must_look_ahead = False

    def connected(self, held: set[int]) -> None:
        """Begin anew on a fresh connection; ``held`` are the ids of the workers' tasks.

        Tasks of a claim whose answer was lost with the former connection are taken in.
        """
        self.wakeup.connect()
        self._cursors.forget()
        self._has_more = True
        if self._heartbeat.manager_id is not None:
            known = held | self.queue.ids() | self.recorder.ids()
            self.queue.put_first(lifecycle.lost_claims(self._heartbeat.manager_id, known))

    def turn(self, now: float, in_hand: int, *, may_claim: bool) -> None:
        """Record and claim what is due; ``in_hand`` tasks are with the workers.

        Recording with a claim is left under way beside the loop, so nothing else may use the
        database after this without asking :meth:`DatabaseLink.ready`.
        """
        self._release_old(now)
        limit = self._claim_limit(now, in_hand) if may_claim else 0
        if limit and self._needs_survey(now):
            limit = limit if self._survey() else 0
        is_idle = self._is_idle(in_hand, may_claim=may_claim)
        is_due = self.recorder.is_due(now, self._batch(), is_idle=is_idle)
        # In doubt about the database, what the loop does itself is the test of it.
        if limit and len(self.recorder) and self.recorder.is_plain and self._link.is_up:
            self._begin_to_record_and_claim(limit)
            return
        if is_due or (limit and len(self.recorder)):
            self._record(now)
        if limit:
            cursors = self._cursors.current()
            claimed = lifecycle.claim(self._queue_name, limit, self._manager_id, cursors)
            self._took(claimed, limit, now)

    def look_ahead(self, now: float) -> None:
        """Learn what a claim from the cursors has left, and when the next task is due.

        :attr:`must_look_ahead` says so. What was claimed should be handed out before: it need not
        wait for the answer.
        """
        self.must_look_ahead = False
        if not self._cursors.may_survey(now):
            self.wakeup.expect(self._cursors.allowed_at())
        elif self._survey() and self._empty_claims > 1:
            # What is due is locked by somebody: a peer who claims it, or a stranger.
            self._has_more = False
            self.wakeup.expect(now + _LOCKED_SECONDS)

    def may_survey(self, now: float) -> bool:
        """Say whether a survey is worth its while: the manager is idle, and it is not too soon."""
        return not self._has_more and self._cursors.may_survey(now)

    def surveyed(self, found: list[Surveyed], now: float) -> None:
        """Take in what a look at the whole queue, begun ``now``, has found; else begin to wait."""
        self._cursors.surveyed(found, now, time.monotonic())
        self._has_surveyed = True
        self._has_more = any(survey.has_due for survey in found)
        if not self._has_more:
            self.wakeup.claimed(now)
        waits = [survey.next_due_in for survey in found if survey.next_due_in is not None]
        if waits:
            self.wakeup.expect(now + max(0.0, min(waits)))

    def ended(self, task: ClaimedTask, outcome: Outcome, pid: int | None = None) -> None:
        """Take an outcome in, to be recorded soon."""
        now = time.monotonic()
        node = self._heartbeat.identity.node_name
        self.recorder.add(
            EndedAttempt(task=task, outcome=outcome, worker_pid=pid, node_name=node), now
        )
        if outcome.delay_seconds is not None:
            self.wakeup.expect(now + outcome.delay_seconds)
        elif outcome.due_at is not None:
            self.wakeup.expect(now + outcome.due_at - time.time())
        elif outcome.kind == CRASHED:
            self.wakeup.expect(now)

    def release(self, tasks: Iterable[ClaimedTask]) -> None:
        """Take in that tasks which have not started go back to the queue, uncharged."""
        for task in tasks:
            self.ended(task, orphan_outcome(task, RELEASED, None))

    def flush_released(self, now: float) -> None:
        """Record what was released, and wake the queue's other managers."""
        self.recorder.flush(now)
        notifications.announce(self._link.alias, self._queue_name)

    def deadlines(self, in_hand: int, *, may_claim: bool) -> Iterator[float]:
        """Yield the moments at which :meth:`turn` has something to do."""
        now = time.monotonic()
        yield self.wakeup.gathered_at()
        flush_at = self.recorder.next_deadline()
        if flush_at is not None:
            yield now if self._is_idle(in_hand, may_claim=may_claim) else flush_at
        if may_claim and self._room(in_hand):
            yield now if self._has_more else self.wakeup.next_deadline()

    def _is_idle(self, in_hand: int, *, may_claim: bool) -> bool:
        """Say whether nothing is about to happen that outcomes could be recorded together with."""
        if self.queue.qsize() or in_hand:
            return False
        flush_at = self.recorder.next_deadline()
        return not may_claim or flush_at is None or self.wakeup.next_claim() > flush_at

    def _begin_to_record_and_claim(self, limit: int) -> None:
        batch, manager_id = self.recorder.batch(), self._manager_id
        cursors = self._cursors.current()
        call = lifecycle.record_and_claim(batch, self._queue_name, limit, manager_id, cursors)

        def take_answer(answer: Answer) -> None:
            now = time.monotonic()
            try:
                recorded, claimed = answer()
            except Error as error:
                self.recorder.flush_singly(error, now)
                return
            # Who lost his registration meanwhile must not run what he claimed under it.
            if self._heartbeat.manager_id == manager_id:
                self._took(claimed, limit, now)
            self.recorder.confirm(batch, recorded, now)

        self._link.begin(call, take_answer)
        reach("manager.recording_and_claiming")

    def _record(self, now: float) -> None:
        try:
            self.recorder.flush(now)
        except Error as error:
            self.recorder.flush_singly(error, now)

    def _took(self, claimed: list[ClaimedTask], limit: int, now: float) -> None:
        reach("manager.claimed")
        self._prefetch.took(len(claimed), limit, was_empty=self.queue.qsize() == 0)
        self.queue.put(claimed, now)
        self._cursors.claimed(claimed)
        self._empty_claims = 0 if claimed else self._empty_claims + 1
        self._has_more = len(claimed) == limit
        if not self._has_more:
            is_stream = len(claimed) > self._settings.WORKERS_COUNT
            self.wakeup.claimed(now, is_stream=is_stream)
            is_worthwhile = not is_stream or self._cursors.is_survey_due(now)
            self.must_look_ahead = is_worthwhile and not self._has_surveyed

    def _needs_survey(self, now: float) -> bool:
        """Say whether the cursors are not enough to know what is due.

        A notification is about a new task, which comes after them; all other reasons to look may
        be about something else.
        """
        self._has_surveyed = False
        if not self._cursors.may_survey(now):
            return False
        if self._has_more or self.wakeup.is_notified(now):
            return self._cursors.is_survey_due(now) and (self._has_more or not len(self._cursors))
        return True

    def _survey(self) -> bool:
        started = time.monotonic()
        self.surveyed(lifecycle.survey(self._queue_name), started)
        return self._has_more

    def _claim_limit(self, now: float, in_hand: int) -> int:
        """Return how many tasks to claim now: none above MIN, else up to MAX."""
        room = self._room(in_hand)
        if not room or not (self._has_more or self.wakeup.is_claim_due(now)):
            return 0
        if not self._heartbeat.predecessors:
            return room
        # Unfinished tasks of a crashed predecessor go before all others; but first of all what
        # this process itself still knows of them.
        if not len(self.recorder):
            self.queue.put_first(self._heartbeat.take_over(room))
        return 0

    def _room(self, in_hand: int) -> int:
        """Return how many tasks the local queue may be filled with now."""
        waiting = self.queue.qsize() + max(0, in_hand - self._settings.WORKERS_COUNT)
        return self._prefetch.limit(waiting)

    def _batch(self) -> int:
        """Return how many outcomes make a statement of their own worth it."""
        step = self._settings.MAX_QUEUE_SIZE - self._settings.MIN_QUEUE_SIZE
        return max(FLUSH_OUTCOMES, min(step, CLAIM_TASKS)) if self._has_more else FLUSH_OUTCOMES

    def _release_old(self, now: float) -> None:
        """Give back what has waited here too long: an idle peer could run it now."""
        if now < self._release_old_at:
            return
        self._release_old_at = now + 1.0
        old = self.queue.take_older_than(now - self._process_settings.LOCAL_TTL_SECONDS)
        if old:
            self._prefetch.had_too_many()
            self.release(old)
            self.flush_released(now)

    @property
    def _manager_id(self) -> int:
        assert self._heartbeat.manager_id is not None
        return self._heartbeat.manager_id
