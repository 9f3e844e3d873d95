"""The values of one attempt: the claimed task, the kinds of outcome, the outcome, its error."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

FINISHED: Final = "finished"
"""The processor returned."""
RETRIED: Final = "retried"
"""It raised what earns it another attempt."""
RESUMED: Final = "resumed"
"""The same, after it had come further: the retries that it had used count no more."""
POSTPONED: Final = "postponed"
"""It asked for later; that is free."""
FAILED: Final = "failed"
"""It raised what earns it no other attempt."""
RECORDED: Final = "recorded"
"""Finished, and the worker has recorded it itself."""
CANCELLED: Final = "cancelled"
"""It stopped because somebody, or the code itself, asked for that."""
EXPIRED: Final = "expired"
"""It did not start in time, so it never will; that is free."""
RELEASED: Final = "released"
"""Its manager gives it back, unfinished, or it gives its worker back; that is free."""
CRASHED: Final = "crashed"
"""Its worker or its manager died while it ran."""
ORPHANED: Final = "orphaned"
"""Its manager died before it had started; that is free."""


class ClaimedTask(NamedTuple):
    """What a worker needs to know of a task; ``arguments`` is still JSON text.

    ``due`` only sorts: it grows with ``execute_after``, on a scale of the database's own.
    ``starts_by`` is the last moment of this machine's monotonic clock at which it may start; None
    for a task that does not expire.
    """

    id: int
    lease: int
    processor_class: str
    arguments: str
    queue_name: str
    priority: int
    due: Any
    attempts: int
    retries: int
    postpones: int
    rescues: int
    crashes: int
    repeat_seconds: float | None = None
    """Not None: it is a link of a chain, and its end may need a follower."""
    starts_by: float | None = None


class ErrorReport(NamedTuple):
    """An error as text that every database can hold, capped in size."""

    type: str
    message: str
    traceback: str


class Outcome(NamedTuple):
    """How one attempt ended. ``started`` and ``ended`` are seconds of the monotonic clock.

    FINISHED has a ``result`` (JSON text or None); RETRIED, RESUMED and POSTPONED a
    ``delay_seconds`` or a ``due_at`` (Unix time), RELEASED may have one; RETRIED, RESUMED, FAILED,
    CANCELLED, CRASHED and ORPHANED an ``error``.
    """

    task_id: int
    lease: int
    kind: str
    started: float | None
    ended: float
    result: str | None = None
    delay_seconds: float | None = None
    due_at: float | None = None
    error: ErrorReport | None = None


class Interim(NamedTuple):
    """What a running task tells of itself; ``at`` is a moment of the monotonic clock.

    Without a ``done`` it says nothing of its progress, without a ``checkpoint`` (JSON text) nothing
    of where it could be resumed; with a ``number`` all the same, it has a checkpoint that it has
    written itself, or found. The checkpoint with the highest number of a lease holds.
    """

    task_id: int
    lease: int
    at: float
    done: float | None = None
    total: float | None = None
    message: str = ""
    number: int = 0
    checkpoint: str | None = None
    version: int = 1
    resumptions: int = 0

    def over(self, older: Interim | None) -> Interim:
        """Return what holds after both, where the other was told before under the same lease."""
        if older is None or older.lease != self.lease:
            return self
        kept = self
        if self.done is None and older.done is not None:
            kept = kept._replace(done=older.done, total=older.total, message=older.message)
        if self.checkpoint is None and older.number:
            kept = kept._replace(
                number=older.number,
                checkpoint=older.checkpoint,
                version=older.version,
                resumptions=older.resumptions,
            )
        return kept
