"""The interface of a dialect: what the engine needs a database to do."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from django.db import DataError, Error, IntegrityError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from django_partisan.attempt import ClaimedTask, Interim
from django_partisan.database.moments import moment_of
from django_partisan.database.values import (
    Aside,
    Batch,
    BatchRow,
    Beat,
    CancelledRow,
    Claimed,
    Cursor,
    Edge,
    Follower,
    InsertedTask,
    Link,
    NewTask,
    OpenTransaction,
    Place,
    Pulse,
    Recorded,
    RecordedRows,
    Reservation,
    Survey,
    TaskUpdate,
    Told,
)


class Dialect(abc.ABC):
    """One kind of database. Every method runs one statement on the connection it is given."""

    can_notify: ClassVar[bool] = False
    has_one_manager: ClassVar[bool] = False
    now_sql: ClassVar[str]
    """The database's own now, in SQL."""
    microseconds_sql: ClassVar[str]
    """A moment as a number, in SQL with ``{}`` for the moment; see :mod:`.moments`."""
    interims_statement: ClassVar[Callable[..., tuple[str, list[Any]]]]
    """Makes the statement, with its parameters, that writes what running tasks tell."""
    throttle_is_over: ClassVar[str]
    """The condition on a task that UNIQUE_FOR_SECONDS has passed since its start."""

    @abc.abstractmethod
    def insert(
        self, connection: BaseDatabaseWrapper, task: NewTask, on_duplicate: str
    ) -> InsertedTask | None:
        """Insert a task; return None when its unique key is taken and nothing was changed.

        ``on_duplicate`` is 'keep', 'replace' or 'earlier'; the last two change a waiting duplicate
        and then return it.
        """

    @abc.abstractmethod
    def reserve(self, connection: BaseDatabaseWrapper, count: int) -> Reservation:
        """Set ids aside for a batch, in the transaction that inserts it; unused ones are lost."""

    @abc.abstractmethod
    def insert_many(
        self,
        connection: BaseDatabaseWrapper,
        batch: Batch,
        rows: Sequence[BatchRow],
        on_duplicate: str,
        *,
        hold_duplicates: bool,
    ) -> set[int]:
        """Insert rows where their unique keys are free, in the keys' order; return the new ids.

        Either all rows have a key or none has, and no key comes twice. What ``on_duplicate`` does
        to waiting duplicates is as for :meth:`insert`; the ids of those may be returned as well.
        When duplicates are held, nobody claims or records them until the transaction ends.
        """

    @abc.abstractmethod
    def links(self, connection: BaseDatabaseWrapper, ids: Sequence[int]) -> list[Link]:
        """Return those of these tasks that have finished and still repeat themselves."""

    @abc.abstractmethod
    def insert_followers(
        self, connection: BaseDatabaseWrapper, followers: Sequence[Follower]
    ) -> set[int]:
        """Insert a copy of each link with a slot of its own; return the ids of the new tasks.

        One is left out where the key that it would take over is somebody else's.
        """

    @abc.abstractmethod
    def claim(
        self,
        connection: BaseDatabaseWrapper,
        queue_name: str,
        cursors: Sequence[Cursor],
        limit: int,
        manager_id: int,
    ) -> Claimed:
        """Take up to ``limit`` due tasks of one queue for a manager, in the order to run them.

        Only tasks from these cursors on are looked at, which come in the order of their priority.
        Nothing is taken of a paused queue. Tasks of a paused processor are held instead, expired
        ones cancelled, each with its attempt row; they count against the limit, and nothing else
        of their rows changes.
        """

    @abc.abstractmethod
    def record(
        self, connection: BaseDatabaseWrapper, updates: Sequence[TaskUpdate]
    ) -> RecordedRows:
        """Record ends of attempts whose lease still holds; return the statuses by id.

        What would wait again is cancelled instead where that was asked for. Ends of tasks that
        others wait for leave a mark, with which :meth:`tell_dependents` goes on.
        """

    def write_interims(
        self, connection: BaseDatabaseWrapper, interims: Sequence[Interim], *, waits: bool
    ) -> set[int]:
        """Write what tasks tell whose lease still holds; return their ids.

        With ``waits`` a task must be in process, whoever has locked its row is waited for, and it
        stays locked until the transaction ends. Without, a locked one is left out.
        """
        with connection.cursor() as cursor:
            cursor.execute(*self.interims_statement(interims, waits=waits))
            return fetch_ids(cursor)

    @abc.abstractmethod
    def delete_recorded(
        self, connection: BaseDatabaseWrapper, updates: Sequence[TaskUpdate]
    ) -> set[int]:
        """Delete tasks whose lease still holds; return the ids that were deleted.

        Those with a ``unique_for_seconds`` stay: they still keep duplicates out. So do those that
        others have waited for.
        """

    @abc.abstractmethod
    def record_and_claim(
        self,
        connection: BaseDatabaseWrapper,
        updates: Sequence[TaskUpdate],
        queue_name: str,
        cursors: Sequence[Cursor],
        limit: int,
        manager_id: int,
    ) -> tuple[Recorded, Claimed]:
        """Record finished tasks and claim the next ones, in one statement where possible."""

    @abc.abstractmethod
    def survey(self, connection: BaseDatabaseWrapper, queue_names: Sequence[str]) -> Survey:
        """Return what waits in each queue, priority by priority, the first hundred at most."""

    @abc.abstractmethod
    def queue_names(self, connection: BaseDatabaseWrapper) -> list[str]:
        """Return the names of all queues in which a task waits, in the database's order."""

    @abc.abstractmethod
    def beat(self, connection: BaseDatabaseWrapper, beat: Beat) -> Pulse:
        """Write that a manager lives, and look around, in one statement where possible."""

    def now(self, connection: BaseDatabaseWrapper) -> datetime:
        """Return the database's own now, aware."""
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {self.microseconds_sql.format(self.now_sql)}", ())
            return moment_of(cursor.fetchone()[0])

    @abc.abstractmethod
    def regain_unique_keys(self, connection: BaseDatabaseWrapper, ids: Sequence[int]) -> None:
        """Let waiting tasks keep duplicates out again, where no other task does already."""

    @abc.abstractmethod
    def request_cancel(
        self, connection: BaseDatabaseWrapper, ids: Sequence[int]
    ) -> tuple[list[CancelledRow], bool]:
        """Cancel waiting tasks, note it on those in process; return both as they are then.

        Also whether dependents are to be told.
        """

    @abc.abstractmethod
    def insert_edges(self, connection: BaseDatabaseWrapper, edges: Sequence[Edge]) -> None:
        """Store who waits for whom."""

    @abc.abstractmethod
    def tell_dependents(self, connection: BaseDatabaseWrapper, limit: int) -> Told:
        """Tell those who wait for tasks that have ended, by up to ``limit`` marks.

        A dependent whose last task has ended can be claimed; one whose task has not finished is
        cancelled, unless it runs all the same. Each end is told once, whoever calls this, and
        nobody is waited for.
        """

    @abc.abstractmethod
    def hold(
        self,
        connection: BaseDatabaseWrapper,
        pause_id: int,
        names: Sequence[str],
        after: Place | None,
        limit: int,
    ) -> tuple[int, Place | None]:
        """Hold the tasks stored under some names among the next ``limit`` that wait, for a pause.

        Returns how many, and the place of the last one looked at: None behind the last of all.
        """

    @abc.abstractmethod
    def free_held(self, connection: BaseDatabaseWrapper, limit: int) -> list[str]:
        """Free up to ``limit`` tasks whose pause is over; return their queues' names, one each."""

    @abc.abstractmethod
    def expire(
        self, connection: BaseDatabaseWrapper, limit: int, ids: Sequence[int] | None = None
    ) -> list[int]:
        """Cancel up to ``limit`` waiting tasks that have expired; return their ids.

        Each leaves its attempt row. With ``ids``, only tasks among these.
        """

    @abc.abstractmethod
    def prepare_options(self, connection: BaseDatabaseWrapper) -> None:
        """Set what a manager's connection needs before it is opened.

        Of time limits, only what nobody has set.
        """

    @abc.abstractmethod
    def prepare_session(self, connection: BaseDatabaseWrapper, *, is_own: bool) -> None:
        """Set up a manager's open connection: time limits, journal, transactions.

        Where the session is not the manager's own, as behind a pooler, nothing may stick to it.
        """

    def writing(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:  # noqa: ARG002
        """Return what to put around a transaction that certainly writes in its end."""
        return nullcontext()

    def is_pooled(self, connection: BaseDatabaseWrapper) -> bool:  # noqa: ARG002
        """Say whether a pooler stands in between, which may share the session between clients."""
        return False

    @abc.abstractmethod
    def notify(self, connection: BaseDatabaseWrapper, queue_name: str) -> None:
        """Wake the managers of a queue; does nothing where :attr:`can_notify` is false."""

    @abc.abstractmethod
    def listen(self, connection: BaseDatabaseWrapper) -> None:
        """Subscribe the connection to wake-ups, where it can be."""

    @abc.abstractmethod
    def received_notifications(self, connection: BaseDatabaseWrapper) -> list[str]:
        """Return the queue names that were notified since the last call, without waiting."""

    @abc.abstractmethod
    def shorten_timeouts(self, connection: BaseDatabaseWrapper) -> None:
        """Make later attempts to connect short: the process is to end soon."""

    @abc.abstractmethod
    def file_descriptor(self, connection: BaseDatabaseWrapper) -> int | None:
        """Return the descriptor that becomes readable with a notification, None without one."""

    def oldest_transaction(
        self,
        connection: BaseDatabaseWrapper,  # noqa: ARG002
        seconds: float,  # noqa: ARG002
    ) -> OpenTransaction | None:
        """Return the oldest transaction that keeps old rows alive for longer than so long."""
        return None

    def is_refusal(self, error: Error) -> bool:
        """Say whether an error is about what was to be stored, so that trying again is in vain.

        Everything else passes: a full disk, a lock, a limit, a missing right, a lost connection.
        """
        return isinstance(error, (DataError, IntegrityError))

    def is_conflict(self, error: Error) -> bool:  # noqa: ARG002
        """Say whether others were in the way of a transaction, which may be tried again as a whole.

        That happens under isolation levels stricter than READ COMMITTED.
        """
        return False

    def limit_waits(self, connection: BaseDatabaseWrapper) -> None:  # noqa: B027 - may do nothing
        """Wait for others' locks no longer than a moment, until the transaction ends."""

    def is_blocked(self, error: Error) -> bool:  # noqa: ARG002
        """Say whether a statement has waited for somebody's lock for longer than it may."""
        return False

    def why_refused(self, connection: BaseDatabaseWrapper, error: Error) -> str | None:  # noqa: ARG002
        """Say what to correct when a connection failed for a reason that waiting does not end.

        None for all that may pass by itself: a server that is away, starting, or full.
        """
        return None

    @abc.abstractmethod
    def data_version(self, connection: BaseDatabaseWrapper) -> int | None:
        """Return a number that changes when another connection has written, None without one."""

    def own_changes(self, connection: BaseDatabaseWrapper) -> int:  # noqa: ARG002
        """Return a number that changes when this connection itself writes, where it can be had."""
        return 0

    def watched_path(self, connection: BaseDatabaseWrapper) -> Path | None:  # noqa: ARG002
        """Return the file to which each commit writes, and which is there now; None without one."""
        return None


def in_order(rows: Sequence[tuple[Any, ...]], began: float, aside: Sequence[Aside]) -> Claimed:
    """Return claimed rows in the order they should run: RETURNING promises none.

    Of a task that expires, the database tells how many seconds were left when the claim ``began``.
    """
    tasks = Claimed(map(ClaimedTask._make, rows), aside)
    tasks.sort(key=lambda task: (task.priority, task.due, task.id))
    for place, task in enumerate(tasks):
        if task.starts_by is not None:
            tasks[place] = task._replace(starts_by=began + task.starts_by)
    return tasks


def fetch_ids(cursor: CursorWrapper) -> set[int]:
    """Return the first column of all rows as a set."""
    return {row[0] for row in cursor.fetchall()}
