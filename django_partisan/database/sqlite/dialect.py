"""SQLite: one manager per file, one short statement at a time, the file itself as wake-up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from django_partisan.database.dialect import Dialect, fetch_ids, in_order
from django_partisan.database.sqlite.aside import (
    AMONG,
    EXPIRE,
    FIRST_PLACE,
    FREE_HELD,
    HOLD,
    LOOKED,
    WHAT_IS_PAUSED,
    moved_aside,
)
from django_partisan.database.sqlite.dependents import INSERT_EDGES, leave_mark, tell
from django_partisan.database.sqlite.inserts import (
    INSERT_FOLLOWERS,
    LINKS,
    RESERVE,
    RESERVE_FIRST,
    batch_statement,
    follower_rows,
    insert_statement,
    links_of,
)
from django_partisan.database.sqlite.interims import interims_statement
from django_partisan.database.sqlite.moments import NOW, moment_of
from django_partisan.database.sqlite.statements import (
    CLAIM,
    DELETE,
    FORGET,
    LEVEL,
    MICROSECONDS,
    RECORD_PARENTS,
    RECORD_PLAIN,
    REGAIN,
    REQUEST_CANCEL,
)
from django_partisan.database.sqlite.surveys import (
    BEAT,
    HAS_ORPHANS,
    QUEUE_NAMES,
    SCHEDULE_DUE_IN,
    SURVEY,
)
from django_partisan.database.values import (
    MAX_PRIORITIES,
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
    Place,
    Pulse,
    Recorded,
    RecordedRows,
    Reservation,
    Survey,
    Surveyed,
    TaskUpdate,
    Told,
)

_WRONG_FILES = {
    "unable to open database file": (
        "the file {name} cannot be opened or made (is its directory there, and may you write in"
        " it?); correct that, or NAME"
    ),
    "file is not a database": "the file {name} is no SQLite database; correct NAME",
}
"""What SQLite says of a file that will never do, and what to correct."""


class SQLite(Dialect):
    """SQLite 3.35 or newer, in WAL mode."""

    has_one_manager: ClassVar[bool] = True
    interims_statement = staticmethod(interims_statement)
    now_sql: ClassVar[str] = NOW
    microseconds_sql: ClassVar[str] = MICROSECONDS
    throttle_is_over: ClassVar[str] = """unique_for_seconds IS NOT NULL
        AND status NOT IN ('new', 'waiting')
        AND (status <> 'in_process' OR NOT is_unique_until_finish)
        AND julianday(COALESCE(started_at, claimed_at, updated_at))
            + unique_for_seconds / 86400.0 <= julianday('now')"""

    def insert(
        self, connection: BaseDatabaseWrapper, task: NewTask, on_duplicate: str
    ) -> InsertedTask | None:
        with connection.cursor() as cursor:
            row = cursor.execute(*insert_statement(task, "keep")).fetchone()
            is_new = row is not None
            if row is None and on_duplicate != "keep":
                row = cursor.execute(*insert_statement(task, on_duplicate)).fetchone()
        if row is None:
            return None
        created_at, execute_after, *expires_at = map(moment_of, row[1:])
        return InsertedTask(row[0], created_at, execute_after, is_new, *expires_at)

    def reserve(self, connection: BaseDatabaseWrapper, count: int) -> Reservation:
        with connection.cursor() as cursor:
            row = cursor.execute(RESERVE, [count]).fetchone()
            if row is None:
                row = cursor.execute(RESERVE_FIRST, [count]).fetchone()
        last, now = row
        return Reservation(range(last - count + 1, last + 1), moment_of(now))

    def insert_many(
        self,
        connection: BaseDatabaseWrapper,
        batch: Batch,
        rows: Sequence[BatchRow],
        on_duplicate: str,
        *,
        hold_duplicates: bool,  # noqa: ARG002 - nobody else writes before the transaction ends
    ) -> set[int]:
        with connection.cursor() as cursor:
            cursor.execute(*batch_statement(batch, rows, on_duplicate))
            return fetch_ids(cursor)

    def links(self, connection: BaseDatabaseWrapper, ids: Sequence[int]) -> list[Link]:
        with connection.cursor() as cursor:
            cursor.execute(LINKS, [json.dumps(list(ids))])
            return links_of(cursor.fetchall())

    def insert_followers(
        self, connection: BaseDatabaseWrapper, followers: Sequence[Follower]
    ) -> set[int]:
        with connection.cursor() as cursor:
            cursor.execute(INSERT_FOLLOWERS, [follower_rows(followers)])
            return fetch_ids(cursor)

    def claim(
        self,
        connection: BaseDatabaseWrapper,
        queue_name: str,
        cursors: Sequence[Cursor],
        limit: int,
        manager_id: int,
    ) -> Claimed:
        if not cursors:
            return Claimed()
        places = " UNION ALL ".join([LEVEL] * len(cursors))
        each = [value for start in cursors for value in (queue_name, start.priority, limit)]
        began = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(WHAT_IS_PAUSED, [queue_name])
            is_paused, may_meet_any = cursor.fetchone()
            if is_paused:
                return Claimed()
            aside: list[Aside] = []
            if may_meet_any:
                with self._as_one(connection):
                    ids = f"SELECT id FROM ({places}) LIMIT %s"
                    aside = moved_aside(cursor, ids, [*each, limit])
            # A statement of its own: within a transaction, SQLite would keep a journal of it.
            cursor.execute(CLAIM.format(levels=places), [manager_id, *each, limit - len(aside)])
            return in_order(cursor.fetchall(), began, aside)

    def record(
        self, connection: BaseDatabaseWrapper, updates: Sequence[TaskUpdate]
    ) -> RecordedRows:
        with connection.cursor() as cursor:
            cursor.execute(RECORD_PLAIN, [json.dumps(updates)])
            statuses = dict(cursor.fetchall())
        left = [update for update in updates if update.id not in statuses]
        if not left:
            return RecordedRows(statuses)
        with self._as_one(connection), connection.cursor() as cursor:
            cursor.execute(RECORD_PARENTS, [json.dumps(left)])
            parents = dict(cursor.fetchall())
            ends = [(pk, status) for pk, status in parents.items() if status != "new"]
            return RecordedRows({**statuses, **parents}, has_marks=leave_mark(cursor, ends))

    def delete_recorded(
        self, connection: BaseDatabaseWrapper, updates: Sequence[TaskUpdate]
    ) -> set[int]:
        with connection.cursor() as cursor:
            cursor.execute(DELETE, [json.dumps(updates)])
            rows = cursor.fetchall()
            if children := [pk for pk, has_waited in rows if has_waited]:
                cursor.execute(FORGET, [json.dumps(children)])
            return {pk for pk, _ in rows}

    def record_and_claim(
        self,
        connection: BaseDatabaseWrapper,
        updates: Sequence[TaskUpdate],
        queue_name: str,
        cursors: Sequence[Cursor],
        limit: int,
        manager_id: int,
    ) -> tuple[Recorded, Claimed]:
        statuses, has_marks = self.record(connection, updates)
        recorded = Recorded(statuses, has_marks=has_marks)
        return recorded, self.claim(connection, queue_name, cursors, limit, manager_id)

    def survey(self, connection: BaseDatabaseWrapper, queue_names: Sequence[str]) -> Survey:
        found: Survey = {name: [] for name in queue_names}
        with connection.cursor() as cursor:
            cursor.execute(SURVEY, [json.dumps(queue_names), MAX_PRIORITIES])
            for queue_name, priority, has_due, next_due_in in cursor.fetchall():
                # No cursor: rows that are gone leave nothing behind in the index.
                surveyed = Surveyed(Cursor(priority), bool(has_due), next_due_in)
                found[queue_name].append(surveyed)
        return found

    def queue_names(self, connection: BaseDatabaseWrapper) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(QUEUE_NAMES)
            return [name for (name,) in cursor.fetchall()]

    def beat(self, connection: BaseDatabaseWrapper, beat: Beat) -> Pulse:
        seconds = -beat.dead_after
        with connection.cursor() as cursor:
            cursor.execute(BEAT, [beat.state, beat.snapshot, beat.manager_id, seconds])
            is_alive = cursor.rowcount == 1
            cursor.execute(HAS_ORPHANS, [beat.manager_id, seconds, seconds])
            has_orphans, has_pauses, has_expired, has_untold = map(bool, cursor.fetchone())
            cursor.execute(SCHEDULE_DUE_IN)
            schedule_due_in = cursor.fetchone()[0]
        found = self.survey(connection, beat.queue_names) if beat.queue_names else {}
        return Pulse(
            is_alive=is_alive,
            has_orphans=has_orphans,
            found=found,
            has_pauses=has_pauses,
            has_expired=has_expired,
            has_untold=has_untold,
            schedule_due_in=schedule_due_in,
        )

    def regain_unique_keys(self, connection: BaseDatabaseWrapper, ids: Sequence[int]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(REGAIN, [json.dumps(list(ids))])

    def request_cancel(
        self, connection: BaseDatabaseWrapper, ids: Sequence[int]
    ) -> tuple[list[CancelledRow], bool]:
        with self._as_one(connection), connection.cursor() as cursor:
            cursor.execute(REQUEST_CANCEL, [json.dumps(ids)])
            rows = cursor.fetchall()
            ends = [row[:2] for row in rows if row[3] and row[1] == "cancelled"]
            return [CancelledRow._make(row[:3]) for row in rows], leave_mark(cursor, ends)

    def insert_edges(self, connection: BaseDatabaseWrapper, edges: Sequence[Edge]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(INSERT_EDGES, [json.dumps(edges)])

    def tell_dependents(self, connection: BaseDatabaseWrapper, limit: int) -> Told:
        with self._as_one(connection), connection.cursor() as cursor:
            return tell(cursor, limit)

    def hold(
        self,
        connection: BaseDatabaseWrapper,
        pause_id: int,
        names: Sequence[str],
        after: Place | None,
        limit: int,
    ) -> tuple[int, Place | None]:
        with self._as_one(connection), connection.cursor() as cursor:
            cursor.execute(LOOKED, [*(after or FIRST_PLACE), limit])
            looked = cursor.fetchall()
            ids = [row[3] for row in looked if row[4] in names]
            cursor.execute(HOLD, [pause_id, json.dumps(ids)])
            held = len(cursor.fetchall())
        return held, Place._make(looked[-1][:4]) if len(looked) == limit else None

    def free_held(self, connection: BaseDatabaseWrapper, limit: int) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(FREE_HELD, [limit])
            return [queue_name for (queue_name,) in cursor.fetchall()]

    def expire(
        self, connection: BaseDatabaseWrapper, limit: int, ids: Sequence[int] | None = None
    ) -> list[int]:
        among = [] if ids is None else [json.dumps(list(ids))]
        expired = EXPIRE.format(among=AMONG if among else "")
        with self._as_one(connection), connection.cursor() as cursor:
            return [row.id for row in moved_aside(cursor, expired, [*among, limit])]

    @contextmanager
    def _as_one(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """Put statements into one transaction that writes, where there is none around them."""
        if connection.in_atomic_block or not connection.get_autocommit():
            yield
            return
        # On this very connection: Django's atomic() would take the one of the thread that it is in,
        # and a manager's claims are made in a thread beside the loop.
        with connection.cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    def prepare_options(self, connection: BaseDatabaseWrapper) -> None:
        """Do nothing: everything can be set on the open file."""

    def prepare_session(self, connection: BaseDatabaseWrapper, *, is_own: bool) -> None:  # noqa: ARG002
        connection.transaction_mode = "IMMEDIATE"  # type: ignore[attr-defined]
        with connection.cursor() as cursor:
            _turn_log_on(cursor)
            cursor.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def writing(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """Take the lock of writers first: who has read before is refused it, without any wait."""
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 20000")
        # Known only once there is a connection.
        former = connection.transaction_mode  # type: ignore[attr-defined]
        connection.transaction_mode = "IMMEDIATE"  # type: ignore[attr-defined]
        try:
            yield
        finally:
            connection.transaction_mode = former  # type: ignore[attr-defined]

    def notify(self, connection: BaseDatabaseWrapper, queue_name: str) -> None:
        """Do nothing: the file itself tells."""

    def listen(self, connection: BaseDatabaseWrapper) -> None:
        """Do nothing: the file itself tells."""

    def received_notifications(self, connection: BaseDatabaseWrapper) -> list[str]:  # noqa: ARG002
        return []

    def shorten_timeouts(self, connection: BaseDatabaseWrapper) -> None:
        pass

    def file_descriptor(self, connection: BaseDatabaseWrapper) -> int | None:  # noqa: ARG002
        return None

    def why_refused(self, connection: BaseDatabaseWrapper, error: Error) -> str | None:
        for said, remedy in _WRONG_FILES.items():
            if said in str(error):
                return remedy.format(name=connection.settings_dict["NAME"])
        return None

    def data_version(self, connection: BaseDatabaseWrapper) -> int | None:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA data_version")
            return int(cursor.fetchone()[0])

    def own_changes(self, connection: BaseDatabaseWrapper) -> int:
        return int(connection.connection.total_changes)

    def watched_path(self, connection: BaseDatabaseWrapper) -> Path | None:
        with connection.cursor() as cursor:
            has_log = _turn_log_on(cursor)
            # Resolved: the log stands beside the file, not beside a link to it.
            cursor.execute("SELECT file FROM pragma_database_list WHERE name = 'main'")
            (path,) = cursor.fetchone()
        return Path(f"{path}-wal") if path and has_log else None


def _turn_log_on(cursor: CursorWrapper) -> bool:
    """Turn the write-ahead log on; say whether it is. It stays with the file."""
    cursor.execute("PRAGMA busy_timeout = 20000")
    cursor.execute("PRAGMA journal_mode = WAL")
    return bool(cursor.fetchone()[0] == "wal")
