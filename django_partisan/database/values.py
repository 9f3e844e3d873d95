"""The values between the engine and a dialect, and the names of the tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from django_partisan.attempt import ClaimedTask

TASK = "django_partisan_task"
"""The table of tasks."""
MANAGER = "django_partisan_managerprocess"
"""The table of running managers."""
SCHEDULE = "django_partisan_storedschedule"
"""The table of schedules."""
PAUSE = "django_partisan_pause"
"""The table of pauses."""
ATTEMPT = "django_partisan_attempt"
"""The table of attempts."""
DEPENDENCY = "django_partisan_dependency"
"""The table of which task waits for which."""
PROGRESS = "django_partisan_progress"
"""The table of what tasks have told of themselves."""
UNTOLD = "django_partisan_untold"
"""The table of ends that dependents have not been told of."""
LABELS = ("verbose_name", "creator_key", "tags")
"""The columns of what tells tasks apart for people."""
CLAIMABLE = "status = 'new' AND held_by IS NULL"
"""What a claim looks at, as its index states it; what is held stands in an index of its own."""
MAX_PRIORITIES: Final = 100
"""Priorities of a queue that one survey finds at most."""
MAX_SURVEYED_QUEUES: Final = 50
"""Queues that one survey is asked about at most, so that it does not keep a manager for long."""


UNTOLD_SECONDS: Final = 1.0
"""For so long those who have left a mark are trusted to tell of it themselves."""


class Repeat(NamedTuple):
    """How a task repeats itself: how far apart its slots are, and until when, aware, if at all."""

    seconds: float
    until: datetime | None


class Expiry(NamedTuple):
    """When a task must have started: at an aware moment, or so many seconds after it is due."""

    at: datetime | None
    seconds: float | None


class Membership(NamedTuple):
    """That a task belongs to a flow, and whether others of it wait for the task."""

    flow_id: int
    has_dependents: bool


def _given(task: NewTask | Batch) -> dict[str, Any]:
    # What has a default stands last. Most tasks have none of it, and get past this at once.
    values = task[-len(task._field_defaults) :]
    if values.count(None) == len(values):
        return {}
    given = zip(task._field_defaults, values, strict=True)
    return {name: value for name, value in given if value is not None}


class NewTask(NamedTuple):
    """A task that is about to be inserted; ``delay_seconds`` counts without a ``due_at`` only.

    What has a default most tasks have not: no statement names the columns of what is None.
    """

    processor_class: str
    queue_name: str
    priority: int
    arguments: str
    due_at: datetime | None
    delay_seconds: float
    unique_hash: str | None
    is_unique_until_finish: bool
    repeat: Repeat | None = None
    expiry: Expiry | None = None
    blocked_by: int | None = None
    """How many tasks it waits for; None for a task that does not wait for any."""
    flow: Membership | None = None
    unique_for_seconds: float | None = None
    debounce_max_seconds: float | None = None
    verbose_name: str | None = None
    creator_key: str | None = None
    tags: Sequence[str] | None = None
    object_label: str | None = None
    """The label of a model, the object of which has the first argument as its primary key."""

    def more(self) -> dict[str, Any]:
        """Return what it has that most tasks have not, by the names of the fields above."""
        return _given(self)

    def parameters(self, due_at: Any) -> list[Any]:
        """Return the first parameters of every dialect's INSERT, with the due time in its form."""
        return [
            self.queue_name,
            self.processor_class,
            self.priority,
            due_at,
            self.delay_seconds,
            self.arguments,
            self.unique_hash,
            self.unique_hash,
            self.is_unique_until_finish,
        ]


class Link(NamedTuple):
    """A task that has finished and repeats itself, with aware moments."""

    id: int
    queue_name: str
    slot: datetime
    seconds: float
    until: datetime | None
    is_last: bool
    """Whether somebody has asked for its end: then it is the last one of its chain."""


class Follower(NamedTuple):
    """The task after a link: its reserved id, the link's, and the aware moment it is due."""

    id: int
    link_id: int
    slot: datetime


class InsertedTask(NamedTuple):
    """What the database decided about a task that was inserted."""

    id: int
    created_at: datetime
    execute_after: datetime
    is_new: bool = True
    """False for a waiting duplicate that was changed."""
    expires_at: datetime | None = None


class Cursor(NamedTuple):
    """Where a claim starts among the waiting tasks of one queue and priority.

    ``due`` (in the dialect's own scale) and ``id`` are the last place that is known to be empty;
    None is before all places.
    """

    priority: int
    due: int | None = None
    id: int = 0


class Surveyed(NamedTuple):
    """What a survey found at one priority: whether a task is due, from where on, the next wait."""

    cursor: Cursor
    has_due: bool
    next_due_in: float | None


Survey = dict[str, list[Surveyed]]
"""What a survey found, by queue; an empty list for a queue in which nothing waits."""


class Beat(NamedTuple):
    """One heartbeat of a manager; a survey of the queues that are named comes along."""

    manager_id: int
    state: str
    snapshot: str
    dead_after: float
    queue_names: Sequence[str]


class Pulse(NamedTuple):
    """What a manager is answered to its heartbeat.

    ``is_alive``: its row was there, and others do not hold it for dead. ``has_orphans``: a rescue
    has something to do. ``found``: what a survey of the queues that the beat has named found.
    ``has_peers``: there is a row of another manager. ``has_pauses``: there is a pause, or a task
    that one has held. ``has_expired``: a task waits that will not start any more. ``has_untold``:
    dependents have not been told of an end for a while.
    ``schedule_due_in``: seconds to the next tick of all schedules, 0 where one was changed by hand,
    None while none has a next one.
    """

    is_alive: bool
    has_orphans: bool
    found: Survey
    has_peers: bool = False
    has_pauses: bool = False
    has_expired: bool = False
    has_untold: bool = False
    schedule_due_in: float | None = None


class Reservation(NamedTuple):
    """Ids that no other task will get, ascending, and the database's own now, aware."""

    ids: Sequence[int]
    now: datetime


class Batch(NamedTuple):
    """What all tasks have in common that are about to be inserted together, as a NewTask has it.

    Each field is named after its column, but for ``repeat``, which is several, and
    ``object_label``, of which each task makes its own key.
    """

    processor_class: str
    queue_name: str
    priority: int
    created_at: datetime
    execute_after: datetime
    is_unique_until_finish: bool
    repeat: Repeat | None = None
    expires_at: datetime | None = None
    blocked_by: int | None = None
    flow: Membership | None = None
    unique_for_seconds: float | None = None
    debounce_until: datetime | None = None
    verbose_name: str | None = None
    creator_key: str | None = None
    tags: Sequence[str] | None = None
    object_label: str | None = None

    def more(self) -> dict[str, Any]:
        """Return what they have that most tasks have not, by the names of the fields above."""
        return _given(self)

    def parameters(self, created_at: Any, execute_after: Any) -> list[Any]:
        """Return the first parameters of every dialect's INSERT, with moments in its own form."""
        return [
            self.queue_name,
            created_at,
            created_at,
            self.processor_class,
            self.priority,
            execute_after,
            self.is_unique_until_finish,
        ]


class BatchRow(NamedTuple):
    """What one task of a batch has of its own: its reserved id, its arguments, its key."""

    id: int
    arguments: str
    unique_hash: str | None


class TaskUpdate(NamedTuple):
    """The end of one attempt, as the numbers that its guarded UPDATE needs.

    ``started_ago`` and ``ended_ago`` are seconds before now, on the manager's monotonic clock; the
    database turns them into moments of its own clock. The last six are added to their columns.
    """

    id: int
    lease: int
    status: str
    result: str | None
    delay_seconds: float | None
    due_at: float | None
    started_ago: float | None
    ended_ago: float
    attempts: int
    retries: int
    postpones: int
    rescues: int
    crashes: int
    leases: int


class Recorded(set[int]):
    """The ids of tasks whose end was recorded; others may wait for one of them."""

    def __init__(self, ids: Iterable[int] = (), *, has_marks: bool = False) -> None:
        super().__init__(ids)
        self.has_marks = has_marks
        """Whether dependents are to be told; the statement that recorded has left a mark."""

    def joined(self, other: Recorded) -> Recorded:
        """Return both as one."""
        return Recorded(self | other, has_marks=self.has_marks or other.has_marks)


class Edge(NamedTuple):
    """That one task waits for another one; ``parent_outcome`` is how that had ended before."""

    parent_id: int
    child_id: int
    policy: str
    parent_outcome: str | None = None


class RecordedRows(NamedTuple):
    """The statuses of the tasks whose end was recorded, by their ids."""

    statuses: dict[int, str]
    has_marks: bool = False
    """Whether one of them leaves its dependents to be told."""


class Told(NamedTuple):
    """What became of telling dependents that tasks have ended."""

    queue_names: set[str]
    """The queues in which dependents can be claimed now."""
    cancelled: list[int]
    """Those that were cancelled, since a task that they waited for did not finish."""
    has_more: bool
    """Whether there is more to tell at once: of those that have just ended, or beyond a batch."""
    has_locked: bool
    """Whether somebody has locked a dependent, who is to be told a little later."""


class Aside(NamedTuple):
    """A waiting task that a claim has met and not taken: it is ``new`` and held, or cancelled.

    ``priority``, ``due`` and ``id`` say where it stood, as a claimed task says it.
    """

    id: int
    priority: int
    due: Any
    status: str


class Claimed(list[ClaimedTask]):
    """The tasks that a claim has taken, in the order to run them, and what it moved aside."""

    def __init__(self, tasks: Iterable[ClaimedTask] = (), aside: Sequence[Aside] = ()) -> None:
        super().__init__(tasks)
        self.aside = aside

    @property
    def met(self) -> int:
        """How many waiting tasks the claim has met, taken or not."""
        return len(self) + len(self.aside)


class Place(NamedTuple):
    """A place among all waiting tasks, in the order of the ready index."""

    queue_name: str
    priority: int
    due: Any
    id: int


class CancelledRow(NamedTuple):
    """A task that was cancelled, or whose end was asked for, with its status from then on."""

    id: int
    status: str
    queue_name: str


class OpenTransaction(NamedTuple):
    """A session's transaction, as the database describes it."""

    pid: int
    user: str
    application: str
    state: str
    began: str
    seconds: float
    statement: str
