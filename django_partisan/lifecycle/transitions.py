"""The table of transitions: what each outcome does to its task's row. Runs no SQL."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from django_partisan.attempt import (
    CANCELLED,
    CRASHED,
    EXPIRED,
    FAILED,
    FINISHED,
    ORPHANED,
    POSTPONED,
    RELEASED,
    RESUMED,
    RETRIED,
    ClaimedTask,
    ErrorReport,
    Outcome,
)
from django_partisan.database.values import TaskUpdate
from django_partisan.exceptions import ManagerDied, ProcessDied


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """What happens to a task in process: its new status, and what is added to its counters."""

    status: str
    attempts: int = 0
    retries: int = 0
    postpones: int = 0
    rescues: int = 0
    crashes: int = 0
    lease: int = 0
    is_first_retry: bool = False
    """Whether the retries used so far count no more."""
    attempt_outcome: str = ""
    """The outcome of the Attempt row that it leaves; none when empty."""

    @property
    def added(self) -> dict[str, int]:
        """What is added to which counter, without those that stay as they are."""
        counters = ("attempts", "retries", "postpones", "rescues", "crashes", "lease")
        return {name: count for name in counters if (count := getattr(self, name))}


FINISH: Final = Transition(status="finished")
RETRY: Final = Transition(status="new", retries=1, attempt_outcome="retried")
RESUME: Final = Transition(status="new", retries=1, is_first_retry=True, attempt_outcome="retried")
POSTPONE: Final = Transition(status="new", postpones=1, attempts=-1)
FAIL: Final = Transition(status="error", attempt_outcome="failed")
CANCEL: Final = Transition(status="cancelled", attempt_outcome="cancelled")
EXPIRE: Final = Transition(status="cancelled", attempts=-1, attempt_outcome="cancelled")
RELEASE: Final = Transition(status="new", attempts=-1)
RESCUE_STARTED: Final = Transition(
    status="new", rescues=1, crashes=1, lease=1, attempt_outcome="rescued"
)
RESCUE: Final = Transition(status="new", rescues=1, attempts=-1, lease=1, attempt_outcome="rescued")
GIVE_UP: Final = Transition(status="error", crashes=1, lease=1, attempt_outcome="failed")
TAKE_OVER_STARTED: Final = Transition(
    status="in_process", attempts=1, rescues=1, crashes=1, lease=1
)
TAKE_OVER: Final = Transition(status="in_process", rescues=1, lease=1)
TRANSITION_OF: Final[dict[str, Transition]] = {
    FINISHED: FINISH,
    RETRIED: RETRY,
    RESUMED: RESUME,
    POSTPONED: POSTPONE,
    FAILED: FAIL,
    CANCELLED: CANCEL,
    EXPIRED: EXPIRE,
    RELEASED: RELEASE,
    CRASHED: RESCUE_STARTED,
    ORPHANED: RESCUE,
}


class EndedAttempt(NamedTuple):
    """A claimed task, its outcome and who ran it, on their way into the database."""

    task: ClaimedTask
    outcome: Outcome
    worker_pid: int | None = None
    node_name: str = ""


def transition_of(ended: EndedAttempt, max_rescues: int) -> Transition:
    """Return what an outcome does to its task, which is given up after so many crashes."""
    transition = TRANSITION_OF[ended.outcome.kind]
    is_spent = transition is RESCUE_STARTED and ended.task.crashes >= max_rescues
    return GIVE_UP if is_spent else transition


def report_of(ended: EndedAttempt, transition: Transition) -> ErrorReport:
    """Return what is told of an attempt's error; empty texts where it has none."""
    error = ended.outcome.error or ErrorReport("", "", "")
    if transition is GIVE_UP:
        return error._replace(
            message=f"Given up after {ended.task.rescues} rescues: {error.message}"
        )
    return error


def updates_of(ended_attempts: Sequence[EndedAttempt], max_rescues: int = 0) -> list[TaskUpdate]:
    """Return what the database is to write of ended attempts, with moments counted from now.

    ``max_rescues`` matters to crashes only.
    """
    now = time.monotonic()
    return [
        _update(ended.outcome, transition_for(ended, max_rescues), now) for ended in ended_attempts
    ]


def transition_for(ended: EndedAttempt, max_rescues: int) -> Transition:
    """Return what an outcome does to its task, with what is added to the counters of its row."""
    if ended.outcome.kind == FINISHED:  # Most are.
        return FINISH
    transition = transition_of(ended, max_rescues)
    if not transition.is_first_retry:
        return transition
    return replace(transition, retries=transition.retries - ended.task.retries)


def _update(outcome: Outcome, transition: Transition, now: float) -> TaskUpdate:
    # By position, in the order of the fields: by name it costs half as much again, for each task.
    return TaskUpdate(
        outcome.task_id,
        outcome.lease,
        transition.status,
        outcome.result,
        outcome.delay_seconds,
        outcome.due_at,
        None if outcome.started is None else round(max(0.0, now - outcome.started), 6),
        round(max(0.0, now - outcome.ended), 6),
        transition.attempts,
        transition.retries,
        transition.postpones,
        transition.rescues,
        transition.crashes,
        transition.lease,
    )


def ended_orphan(task: ClaimedTask, has_started: bool, reason: str = "") -> EndedAttempt:
    """Return the attempt at a task whose manager died; only one that had started is charged."""
    kind = CRASHED if has_started else ORPHANED
    return EndedAttempt(task=task, outcome=orphan_outcome(task, kind, ManagerDied(reason)))


def orphan_outcome(task: ClaimedTask, kind: str, death: ProcessDied | None) -> Outcome:
    """Return the outcome of an attempt that nobody was left to report, and what they died of."""
    error = None if death is None else ErrorReport(type(death).__name__, str(death), "")
    return Outcome(task.id, task.lease, kind, None, time.monotonic(), error=error)
