"""PostgreSQL: claims and records in one fused statement, wakes managers by LISTEN and NOTIFY."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import ClassVar

from django.db import Error, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.database.dialect import Dialect, fetch_ids
from django_partisan.database.postgresql.aside import EXPIRE, EXPIRE_AMONG, FREE_HELD, HOLD
from django_partisan.database.postgresql.dependents import INSERT_EDGES, TELL
from django_partisan.database.postgresql.followers import (
    INSERT_FOLLOWERS,
    LINKS,
    follower_arrays,
    links_of,
)
from django_partisan.database.postgresql.inserts import (
    RESERVE,
    batch_statement,
    insert_statement,
)
from django_partisan.database.postgresql.interims import interims_statement
from django_partisan.database.postgresql.notifications import (
    drain_notifications,
    watch_notifications,
)
from django_partisan.database.postgresql.prepared import PreparedStatements
from django_partisan.database.postgresql.refusals import why_refused
from django_partisan.database.postgresql.statements import (
    CLAIM,
    DELETE,
    FINISH,
    FINISH_AND_CLAIM,
    RECORD,
    REGAIN,
    REQUEST_CANCEL,
    array,
    claim_parameters,
    claimed_of,
    end_arrays,
    update_arrays,
)
from django_partisan.database.postgresql.surveys import (
    QUEUE_NAMES,
    SURVEY,
    beat_statement,
    pulse_of,
    survey_parameters,
    surveys_of,
)
from django_partisan.database.sessions import is_pooled
from django_partisan.database.values import (
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

CHANNEL = "django_partisan"
"""What managers LISTEN to; the payload is the name of a queue."""

_FIRST_PLACE = Place("", -(2**31), None, 0)
"""Before all places."""

# Classes of SQLSTATE: a trigger's own errors (RAISE), and values beyond what a type can hold.
_REFUSALS = ("P0", "54")

# "could not serialize access": somebody else has changed what the snapshot shows.
_CONFLICT = "40001"

# Waiting longer than this for a lock, a statement or the server is an outage, not patience. A
# session whose client is gone without a word must not keep its locks, either.
_SESSION_LIMITS = (
    "SET statement_timeout = '7s'; SET lock_timeout = '2s';"
    " SET idle_in_transaction_session_timeout = '10s'"
)
# Claims and outcomes are guarded by their own conditions. A stricter level, which a role or a
# database may have, would only have managers fail on each other.
_SESSION_ISOLATION = "SET default_transaction_isolation = 'read committed'"
# With statistics of the time when the table was drained, a bitmap of all waiting rows and a sort
# look as cheap as the head of the ready index. A plan that is made while the table is small, and
# kept, must not read all of it. Nothing here runs long enough for compiling to pay.
_SESSION_PLANS = "SET enable_bitmapscan = off; SET enable_seqscan = off; SET jit = off"
_CONNECTION_LIMITS = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
}
_SHORTEST_CONNECT_TIMEOUT = 2  # libpq takes no less

# Whoever may not see another user's sessions finds none of them here.
_OLDEST_TRANSACTION = """SELECT pid, usename::text, application_name, state, xact_start::text,
       extract(epoch FROM clock_timestamp() - xact_start)::float8,
       regexp_replace(left(query, 200), '\\s+', ' ', 'g')
  FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
   AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)
   AND backend_type = 'client backend'
   AND xact_start < clock_timestamp() - %s * interval '1 second'
 ORDER BY xact_start LIMIT 1"""
_SHORT_WAITS = "SET LOCAL lock_timeout = '100ms'"
_LOCK_NOT_AVAILABLE = "55P03"
_PREPARED = PreparedStatements(claim=CLAIM, finish_and_claim=FINISH_AND_CLAIM)


class PostgreSQL(Dialect):
    """PostgreSQL 14 or newer, by psycopg2 or psycopg 3."""

    can_notify: ClassVar[bool] = True
    interims_statement = staticmethod(interims_statement)
    now_sql: ClassVar[str] = "statement_timestamp()"
    microseconds_sql: ClassVar[str] = "(extract(epoch FROM {}) * 1000000)::bigint"
    throttle_is_over: ClassVar[str] = """unique_for_seconds IS NOT NULL
        AND status NOT IN ('new', 'waiting')
        AND (status <> 'in_process' OR NOT is_unique_until_finish)
        AND COALESCE(started_at, claimed_at, updated_at) + unique_for_seconds * interval '1 second'
            <= statement_timestamp()"""

    def insert(
        self, connection: BaseDatabaseWrapper, task: NewTask, on_duplicate: str
    ) -> InsertedTask | None:
        with connection.cursor() as cursor:
            cursor.execute(*insert_statement(task, on_duplicate))
            row = cursor.fetchone()
        return InsertedTask(*row) if row else None

    def reserve(self, connection: BaseDatabaseWrapper, count: int) -> Reservation:
        with connection.cursor() as cursor:
            cursor.execute(RESERVE, [count])
            ids, now = cursor.fetchone()
        return Reservation(ids, datetime.fromtimestamp(now, UTC))

    def insert_many(
        self,
        connection: BaseDatabaseWrapper,
        batch: Batch,
        rows: Sequence[BatchRow],
        on_duplicate: str,
        *,
        hold_duplicates: bool,
    ) -> set[int]:
        action = "hold" if hold_duplicates and on_duplicate == "keep" else on_duplicate
        with connection.cursor() as cursor:
            cursor.execute(*batch_statement(batch, rows, action))
            if cursor.rowcount == len(rows) and on_duplicate == "keep":
                return {row.id for row in rows}
            return fetch_ids(cursor)

    def links(self, connection: BaseDatabaseWrapper, ids: Sequence[int]) -> list[Link]:
        with connection.cursor() as cursor:
            cursor.execute(LINKS, [array(ids)])
            return links_of(cursor.fetchall())

    def insert_followers(
        self, connection: BaseDatabaseWrapper, followers: Sequence[Follower]
    ) -> set[int]:
        with connection.cursor() as cursor:
            cursor.execute(INSERT_FOLLOWERS, follower_arrays(followers))
            return fetch_ids(cursor)

    def claim(
        self,
        connection: BaseDatabaseWrapper,
        queue_name: str,
        cursors: Sequence[Cursor],
        limit: int,
        manager_id: int,
    ) -> Claimed:
        statement = _PREPARED.statement(connection, CLAIM)
        began = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(statement, claim_parameters(queue_name, cursors, limit, manager_id))
            return claimed_of(cursor.fetchall(), began)

    def record(
        self, connection: BaseDatabaseWrapper, updates: Sequence[TaskUpdate]
    ) -> RecordedRows:
        if all(update.status == "finished" for update in updates):
            statement, parameters = FINISH, end_arrays(updates)
        else:
            statement, parameters = RECORD, update_arrays(updates)
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows = cursor.fetchall()
        statuses = {pk: status for pk, status in rows if pk is not None}
        return RecordedRows(statuses, has_marks=len(statuses) < len(rows))

    def delete_recorded(
        self, connection: BaseDatabaseWrapper, updates: Sequence[TaskUpdate]
    ) -> set[int]:
        with connection.cursor() as cursor:
            cursor.execute(DELETE, end_arrays(updates))
            return fetch_ids(cursor)

    def record_and_claim(
        self,
        connection: BaseDatabaseWrapper,
        updates: Sequence[TaskUpdate],
        queue_name: str,
        cursors: Sequence[Cursor],
        limit: int,
        manager_id: int,
    ) -> tuple[Recorded, Claimed]:
        parameters = [
            *end_arrays(updates),
            *claim_parameters(queue_name, cursors, limit, manager_id),
        ]
        statement, began = _PREPARED.statement(connection, FINISH_AND_CLAIM), time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows = cursor.fetchall()
        recorded, claimed = Recorded(), []
        for row in rows:
            if row[0]:
                recorded.add(row[1])
            elif row[0] is None:
                recorded.has_marks = True
            else:
                claimed.append(row[1:])
        return recorded, claimed_of(claimed, began)

    def survey(self, connection: BaseDatabaseWrapper, queue_names: Sequence[str]) -> Survey:
        with connection.cursor() as cursor:
            cursor.execute(SURVEY, survey_parameters(queue_names))
            return surveys_of(queue_names, cursor.fetchall())

    def queue_names(self, connection: BaseDatabaseWrapper) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(QUEUE_NAMES)
            return [name for (name,) in cursor.fetchall()]

    def beat(self, connection: BaseDatabaseWrapper, beat: Beat) -> Pulse:
        with connection.cursor() as cursor:
            cursor.execute(*beat_statement(beat))
            return pulse_of(cursor.fetchall(), beat.queue_names)

    def regain_unique_keys(self, connection: BaseDatabaseWrapper, ids: Sequence[int]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(REGAIN, [array(ids)])

    def request_cancel(
        self, connection: BaseDatabaseWrapper, ids: Sequence[int]
    ) -> tuple[list[CancelledRow], bool]:
        with connection.cursor() as cursor:
            cursor.execute(REQUEST_CANCEL, [array(ids)])
            rows = cursor.fetchall()
        cancelled = [CancelledRow._make(row) for row in rows if row[0] is not None]
        return cancelled, len(cancelled) < len(rows)

    def insert_edges(self, connection: BaseDatabaseWrapper, edges: Sequence[Edge]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(INSERT_EDGES, [array(values) for values in zip(*edges, strict=True)])

    def tell_dependents(self, connection: BaseDatabaseWrapper, limit: int) -> Told:
        session = nullcontext() if _PREPARED.are_in(connection) else _uncompiled(connection)
        with session, connection.cursor() as cursor:
            cursor.execute(TELL, [limit, limit])
            queue_names, *others = cursor.fetchone()
        return Told(set(queue_names), *others)

    def hold(
        self,
        connection: BaseDatabaseWrapper,
        pause_id: int,
        names: Sequence[str],
        after: Place | None,
        limit: int,
    ) -> tuple[int, Place | None]:
        place = after or _FIRST_PLACE
        with connection.cursor() as cursor:
            cursor.execute(HOLD, [*place, limit, list(names), pause_id])
            held, looked, *last = cursor.fetchone()
        return held, Place._make(last) if looked == limit else None

    def free_held(self, connection: BaseDatabaseWrapper, limit: int) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(FREE_HELD, [limit, limit])
            return [queue_name for (queue_name,) in cursor.fetchall()]

    def expire(
        self, connection: BaseDatabaseWrapper, limit: int, ids: Sequence[int] | None = None
    ) -> list[int]:
        with connection.cursor() as cursor:
            if ids is None:
                cursor.execute(EXPIRE, [limit])
            else:
                cursor.execute(EXPIRE_AMONG, [array(ids), limit])
            return [pk for (pk,) in cursor.fetchall()]

    def prepare_options(self, connection: BaseDatabaseWrapper) -> None:
        options = connection.settings_dict["OPTIONS"]
        for name, value in _CONNECTION_LIMITS.items():
            options.setdefault(name, value)
        # Set by each BEGIN, or by psycopg2 for the session, which then forgets what was set there.
        options.pop("isolation_level", None)

    def shorten_timeouts(self, connection: BaseDatabaseWrapper) -> None:
        connection.settings_dict["OPTIONS"]["connect_timeout"] = _SHORTEST_CONNECT_TIMEOUT

    def prepare_session(self, connection: BaseDatabaseWrapper, *, is_own: bool) -> None:
        if is_own:
            with connection.cursor() as cursor:
                cursor.execute(f"{_SESSION_LIMITS}; {_SESSION_ISOLATION}; {_SESSION_PLANS}")
            _PREPARED.prepare(connection)

    def is_pooled(self, connection: BaseDatabaseWrapper) -> bool:
        return is_pooled(connection)

    def notify(self, connection: BaseDatabaseWrapper, queue_name: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, queue_name])

    def listen(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        watch_notifications(connection.connection)

    def received_notifications(self, connection: BaseDatabaseWrapper) -> list[str]:
        # Past Django's cursor: a driver's own error would not be taken for one of the database.
        with connection.wrap_database_errors:
            return drain_notifications(connection.connection)

    def file_descriptor(self, connection: BaseDatabaseWrapper) -> int | None:
        raw = connection.connection
        return None if raw is None or raw.closed else int(raw.fileno())

    def oldest_transaction(
        self, connection: BaseDatabaseWrapper, seconds: float
    ) -> OpenTransaction | None:
        with connection.cursor() as cursor:
            cursor.execute(_OLDEST_TRANSACTION, [seconds])
            row = cursor.fetchone()
        return OpenTransaction._make(row) if row else None

    def is_refusal(self, error: Error) -> bool:
        return super().is_refusal(error) or _sqlstate(error).startswith(_REFUSALS)

    def is_conflict(self, error: Error) -> bool:
        return _sqlstate(error) == _CONFLICT

    def limit_waits(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_SHORT_WAITS)

    def is_blocked(self, error: Error) -> bool:
        return _sqlstate(error) == _LOCK_NOT_AVAILABLE

    def why_refused(self, connection: BaseDatabaseWrapper, error: Error) -> str | None:
        return why_refused(connection.settings_dict, str(error))

    def data_version(self, connection: BaseDatabaseWrapper) -> int | None:  # noqa: ARG002
        return None


def _sqlstate(error: Error) -> str:
    """Return the server's code for an error: psycopg 3 and psycopg 2 keep it under two names."""
    cause = error.__cause__
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""


@contextmanager
def _uncompiled(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Have statements of a session that is not a manager's own run without being compiled.

    What is unnested looks so large to the planner that compiling takes seconds, for milliseconds.
    """
    with transaction.atomic(using=connection.alias, savepoint=False):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL jit = off")
        yield
