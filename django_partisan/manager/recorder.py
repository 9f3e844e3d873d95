"""Outcomes that wait to be recorded: in batches, under their leases, each exactly once."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from django.db import Error

from django_partisan import execution, lifecycle
from django_partisan.attempt import FAILED, FINISHED, ClaimedTask, ErrorReport
from django_partisan.config.const import NEVER
from django_partisan.database import dialect_for
from django_partisan.database.values import Recorded
from django_partisan.fault_points import reach
from django_partisan.lifecycle.related import others_point_at_tasks
from django_partisan.lifecycle.rows import database
from django_partisan.lifecycle.transitions import EndedAttempt
from django_partisan.logs import extra_of
from django_partisan.manager.interims import Interims

logger = logging.getLogger(__name__)
FLUSH_SECONDS: Final = 0.02
FLUSH_OUTCOMES: Final = 100
_LOCKED_SECONDS: Final = 0.05
_MOST_COMPLETED: Final = 10_000
"""So many wait for their deletion; what is too much then stays, as a finished task."""
_REFUSED: Final = (
    "The task ran, but its outcome could not be stored: the database refuses what it holds."
)


class Recorder:
    """Keeps outcomes until they are in the database or proven to be somebody else's by now.

    It holds no more than the manager has claimed. ``deletes`` says of a queue whether its tasks are
    deleted once they have finished. ``counts`` tells how many attempts ended how,
    ``stale`` among them.
    """

    def __init__(self, *, deletes: Callable[[str], bool], max_rescues: int) -> None:
        self._deletes = deletes
        self._others_point_at_tasks = others_point_at_tasks()
        self._max_rescues = max_rescues
        self._pending: list[EndedAttempt] = []
        self.interims = Interims()
        """What tasks tell that go on: it is written before their end."""
        self._flush_at = 0.0
        self.counts: Counter[str] = Counter()
        self.completed: deque[int] = deque(maxlen=_MOST_COMPLETED)
        """Tasks that are recorded as finished, and still to be deleted."""
        self.has_untold = False
        """Whether something that was recorded has dependents, who are still to be told."""

    def __len__(self) -> int:
        return len(self._pending)

    def ids(self) -> set[int]:
        """Return the ids of the tasks whose outcome is not recorded yet."""
        return {ended.task.id for ended in self._pending}

    def add(self, ended: EndedAttempt, now: float) -> None:
        """Take an outcome in."""
        if not self._pending:
            self._flush_at = now + FLUSH_SECONDS
        self._pending.append(ended)

    def is_due(self, now: float, batch: int, is_idle: bool) -> bool:
        """Say whether it is time to record: enough of them, long enough, or nothing else to do."""
        count = len(self._pending)
        return count > 0 and (count >= batch or now >= self._flush_at or is_idle)

    def next_deadline(self) -> float:
        """Return when the oldest outcome should be recorded, NEVER when none waits."""
        return self._flush_at if self._pending else NEVER

    @property
    def is_plain(self) -> bool:
        """Whether everything pending can be recorded in one statement with a claim."""
        if self.interims or self._has_savers():
            return False
        names = set()
        for ended in self._pending:
            if ended.outcome.kind != FINISHED or ended.task.repeat_seconds is not None:
                return False
            names.add(ended.task.queue_name)
        return not any(map(self._deletes, names))

    def flush(self, now: float) -> None:
        """Record everything; raises the database's error with everything still pending."""
        self.interims.write()
        batch = self.batch()
        if batch:
            self.confirm(batch, self._record(batch), now)

    def batch(self) -> list[EndedAttempt]:
        """Return everything pending; it stays so until :meth:`confirm` hears what became of it."""
        return list(self._pending)

    def flush_singly(self, error: Error, now: float) -> None:
        """Record one by one what the database refused together with this error.

        An outcome that it refuses for what it holds is recorded as an error instead. Any other
        error is raised with everything still pending: it says nothing against the outcome.
        """
        _raise_unless_refusal(error)
        for ended in list(self._pending):
            try:
                recorded = self._record([ended])
            except Error as own_error:
                _raise_unless_refusal(own_error)
                refused = _refused(ended, own_error)
                recorded = self._record([refused])
                execution.log_end(refused.task, refused.outcome)
            self.confirm([ended], recorded, now)

    def confirm(self, batch: list[EndedAttempt], recorded: Recorded, now: float) -> None:
        """Take in which of a batch the database has recorded; the others are stale, or locked."""
        self.has_untold |= recorded.has_marks
        reach("manager.recorded")
        missing = [ended for ended in batch if ended.task.id not in recorded]
        # SKIP LOCKED leaves out rows that somebody else has locked: ours still, so try them again.
        held = lifecycle.still_held(missing) if missing else set()
        confirmed = {id(ended) for ended in batch if ended.task.id not in held}
        self._pending = [ended for ended in self._pending if id(ended) not in confirmed]
        self._flush_at = now + (_LOCKED_SECONDS if held else FLUSH_SECONDS)
        self.counts.update(e.outcome.kind for e in batch if e.task.id in recorded)
        if self._others_point_at_tasks:
            ours = (e for e in batch if e.task.id in recorded and e.outcome.kind == FINISHED)
            self.completed.extend(e.task.id for e in ours if self._deletes(e.task.queue_name))
        for ended in missing:
            if ended.task.id not in held:
                self._note_stale(ended)
        if self.interims.tellers:
            for ended in batch:
                if id(ended) in confirmed:
                    self.interims.part_with(ended.task.id)

    def was_recorded(self, task: ClaimedTask) -> None:
        """Take note of a task whose worker has recorded itself that it finished."""
        self.counts[FINISHED] += 1
        if self.interims.tellers:
            self.interims.part_with(task.id)
        if self._others_point_at_tasks and self._deletes(task.queue_name):
            self.completed.append(task.id)

    def summary(self) -> str:
        """Return in words how many attempts ended how."""
        return counts_in_words(self.counts) or "no task was run"

    def _has_savers(self) -> bool:
        savers = self.interims.savers
        return bool(savers) and any(ended.task.id in savers for ended in self._pending)

    def _record(self, batch: list[EndedAttempt]) -> Recorded:
        names = {ended.task.queue_name for ended in batch}
        deleting = set(filter(self._deletes, names))
        if deleting in (names, set()):
            return self._store(batch, delete_finished=bool(deleting))
        deleted = [ended for ended in batch if ended.task.queue_name in deleting]
        kept = [ended for ended in batch if ended.task.queue_name not in deleting]
        recorded = self._store(deleted, delete_finished=True)
        return recorded.joined(self._store(kept, delete_finished=False))

    def _store(self, batch: list[EndedAttempt], *, delete_finished: bool) -> Recorded:
        interims = self.interims
        return lifecycle.record(
            batch,
            delete_finished=delete_finished,
            max_rescues=self._max_rescues,
            tellers=interims.tellers if delete_finished else interims.savers,
        )

    def _note_stale(self, ended: EndedAttempt) -> None:
        self.counts["stale"] += 1
        task = ended.task
        logger.warning(
            "task %d is not ours any more: its outcome (%s) under lease %d changes nothing",
            task.id,
            ended.outcome.kind,
            task.lease,
            extra=extra_of(task),
        )


def counts_in_words(counts: Counter[str]) -> str:
    """Return how many attempts ended how, as in `12 finished, 1 retried`."""
    return ", ".join(f"{counts[kind]:,} {kind}" for kind in sorted(counts))


def _raise_unless_refusal(error: Error) -> None:
    if not dialect_for(database()).is_refusal(error):
        raise error


def _refused(ended: EndedAttempt, error: Error) -> EndedAttempt:
    # Its text may quote what was to be stored, which may be secret.
    report = ErrorReport(type(error).__name__, _REFUSED, "")
    outcome = ended.outcome._replace(kind=FAILED, result=None, error=report)
    return ended._replace(outcome=outcome)
