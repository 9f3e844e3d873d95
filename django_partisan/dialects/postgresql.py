"""PostgreSQL: claims and records in one fused statement, wakes managers by LISTEN and NOTIFY."""

from __future__ import annotations

import select
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.dialects.base import (
    TASK,
    Batch,
    BatchRow,
    Beat,
    CancelledRow,
    Dialect,
    InsertedTask,
    Lane,
    LaneSurvey,
    NewTask,
    OpenTransaction,
    Pulse,
    Reservation,
    Settlement,
    fetch_ids,
    in_order,
)
from django_partisan.dialects.postgresql_inserts import (
    INSERT,
    INSERT_BATCH,
    INSERT_UNIQUE_BATCH,
    RESERVE,
    batch_parameters,
)
from django_partisan.dialects.postgresql_surveys import (
    SURVEY,
    beat_statement,
    pulse_of,
    survey_parameters,
    surveys_of,
)
from django_partisan.execution import ClaimedTask

CHANNEL = "django_partisan"

# Waiting longer than this for a lock, a statement or the server is an outage, not patience. A
# session whose client is gone without a word must not keep its locks, either.
_SESSION_LIMITS = (
    "SET statement_timeout = '7s'; SET lock_timeout = '2s';"
    " SET idle_in_transaction_session_timeout = '10s'"
)
# With statistics of the time when the table was drained, a bitmap of all waiting rows and a sort
# look as cheap as the head of the ready index.
_SESSION_PLANS = "SET enable_bitmapscan = off"
_CONNECTION_LIMITS = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
}
_SHORTEST_CONNECT_TIMEOUT = 2  # libpq takes no less

_CLAIMED_COLUMNS = """t.id, t.lease, t.processor_class, t.arguments::text, t.queue_name, t.priority,
    (extract(epoch FROM t.execute_after) * 1000000)::bigint, t.attempts, t.retries,
    t.postpones, t.rescues, t.crashes"""

# MATERIALIZED: an inlined LIMIT may run twice and claim too many. ANY(ARRAY(...)) rather than a
# join: with statistics of the time when the table was empty, a join reads the whole table.
# Lane by lane, each from its cursor on: future tasks of a better priority and the dead entries of
# tasks claimed before, which a long transaction keeps in the index, are not walked over.
_CLAIM_PARTS = f"""pick AS MATERIALIZED (
    SELECT t.id FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS lane(priority, due, id)
     CROSS JOIN LATERAL (
        SELECT id FROM {TASK}
         WHERE status = 'new' AND queue_name = %s AND priority = lane.priority
           AND execute_after <= statement_timestamp() AND (execute_after, id) > (COALESCE(
               timestamptz 'epoch' + lane.due * interval '1 microsecond', '-infinity'), lane.id)
         ORDER BY execute_after, id LIMIT %s FOR UPDATE SKIP LOCKED
    ) t LIMIT %s
), claimed AS (
    UPDATE {TASK} t SET status = 'in_process', lease = t.lease + 1, manager_id = %s,
           claimed_at = statement_timestamp(), updated_at = statement_timestamp(),
           attempts = t.attempts + 1, started_at = NULL,
           unique_key = CASE WHEN t.is_unique_until_finish THEN t.unique_key END
     WHERE t.id = ANY (ARRAY(SELECT id FROM pick))
    RETURNING {_CLAIMED_COLUMNS}
)"""

_CLAIM = f"WITH {_CLAIM_PARTS} SELECT * FROM claimed"

_OUTCOMES = """outcome AS (
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::float8[], %s::float8[])
        AS o(id, lease, result, started_ago, ended_ago)
)"""


# SKIP LOCKED, in id order: a row that a stranger has locked must not hold up the whole batch.
# LATERAL with a lock inside is one look at an index per outcome, whatever the statistics say.
def _held(columns: str) -> str:
    return f"""held AS MATERIALIZED (
    SELECT t.id AS held_id, {columns}
      FROM (SELECT * FROM outcome ORDER BY id) o CROSS JOIN LATERAL (
        SELECT id, cancel_requested_at FROM {TASK}
         WHERE id = o.id AND lease = o.lease AND status = 'in_process' FOR UPDATE SKIP LOCKED
    ) t
)"""


_HELD = _held("o.*")
# Read under the lock: else somebody might ask for the end of what is about to wait, unheard.
_HELD_TO_SETTLE = _held("""o.*, CASE WHEN o.status = 'new' AND t.cancel_requested_at IS NOT NULL
        THEN 'cancelled' ELSE o.status END AS status_then""")

_FINISH_PARTS = f"""{_OUTCOMES}, {_HELD}, recorded AS (
    UPDATE {TASK} t SET status = 'finished', result = h.result::jsonb, unique_key = NULL,
           manager_id = NULL, updated_at = statement_timestamp(),
           started_at = statement_timestamp() - h.started_ago * interval '1 second',
           finished_at = statement_timestamp() - h.ended_ago * interval '1 second'
      FROM held h WHERE t.id = h.held_id AND t.id = ANY (ARRAY(SELECT held_id FROM held))
    RETURNING t.id
)"""

_FINISH_AND_CLAIM = f"""WITH {_FINISH_PARTS}, {_CLAIM_PARTS}
SELECT true, id, NULL::bigint, NULL::varchar, NULL::text, NULL::varchar, NULL::int, NULL::bigint,
       NULL::int, NULL::int, NULL::int, NULL::int, NULL::int FROM recorded
UNION ALL SELECT false, * FROM claimed"""

_FINISH = f"WITH {_FINISH_PARTS} SELECT id, 'finished' FROM recorded"

_DELETE = f"""WITH {_OUTCOMES}, {_HELD}
DELETE FROM {TASK} t WHERE t.id = ANY (ARRAY(SELECT held_id FROM held)) RETURNING t.id"""

_SETTLE = f"""WITH outcome AS (
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::float8[], %s::float8[],
        %s::text[], %s::float8[], %s::float8[], %s::int[], %s::int[], %s::int[], %s::int[],
        %s::int[], %s::int[])
        AS o(id, lease, result, started_ago, ended_ago, status, delay, due_at, attempts, retries,
             postpones, rescues, crashes, leases)
), {_HELD_TO_SETTLE}
UPDATE {TASK} t SET status = h.status_then, result = h.result::jsonb, manager_id = NULL,
       updated_at = statement_timestamp(),
       execute_after = COALESCE(to_timestamp(h.due_at),
            statement_timestamp() + h.delay * interval '1 second', t.execute_after),
       claimed_at = CASE WHEN h.status_then = 'new' THEN NULL ELSE t.claimed_at END,
       started_at = CASE WHEN h.status_then = 'new' THEN NULL
            ELSE statement_timestamp() - h.started_ago * interval '1 second' END,
       finished_at = CASE WHEN h.status_then = 'new' THEN NULL
            ELSE statement_timestamp() - h.ended_ago * interval '1 second' END,
       unique_key = CASE WHEN h.status_then = 'new' THEN t.unique_key END,
       attempts = t.attempts + h.attempts, retries = t.retries + h.retries,
       postpones = t.postpones + h.postpones, rescues = t.rescues + h.rescues,
       crashes = t.crashes + h.crashes, lease = t.lease + h.leases
  FROM held h WHERE t.id = h.held_id AND t.id = ANY (ARRAY(SELECT held_id FROM held))
RETURNING t.id, t.status"""

# In the order of their ids, as everybody locks them.
_REQUEST_CANCEL = f"""WITH pick AS MATERIALIZED (
    SELECT id FROM {TASK} WHERE id = ANY (%s::bigint[]) AND status IN ('new', 'in_process')
     ORDER BY id FOR UPDATE
)
UPDATE {TASK} t SET status = CASE WHEN t.status = 'new' THEN 'cancelled' ELSE t.status END,
       cancel_requested_at = COALESCE(t.cancel_requested_at, statement_timestamp()),
       finished_at = CASE WHEN t.status = 'new' THEN statement_timestamp() END,
       unique_key = CASE WHEN t.status <> 'new' THEN t.unique_key END,
       updated_at = statement_timestamp()
 WHERE t.id = ANY (ARRAY(SELECT id FROM pick)) RETURNING t.id, t.status, t.queue_name"""

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

_REGAIN = f"""UPDATE {TASK} t SET unique_key = t.unique_hash
  FROM (SELECT min(id) AS id FROM {TASK} WHERE id = ANY(%s::bigint[]) AND status = 'new'
         AND unique_key IS NULL AND unique_hash IS NOT NULL GROUP BY unique_hash) first
 WHERE t.id = first.id AND t.status = 'new' AND t.unique_key IS NULL
   AND NOT EXISTS (SELECT 1 FROM {TASK} d WHERE d.unique_key = t.unique_hash)"""


class PostgreSQL(Dialect):
    """PostgreSQL 14 or newer, by psycopg2 or psycopg 3."""

    can_notify: ClassVar[bool] = True

    def insert(
        self, connection: BaseDatabaseWrapper, task: NewTask, on_duplicate: str
    ) -> InsertedTask | None:
        with connection.cursor() as cursor:
            cursor.execute(INSERT[on_duplicate], task.parameters(task.due_at))
            row = cursor.fetchone()
        return InsertedTask._make(row) if row else None

    def reserve(self, connection: BaseDatabaseWrapper, count: int) -> Reservation:
        with connection.cursor() as cursor:
            cursor.execute(RESERVE, [count])
            ids, now = cursor.fetchone()
        return Reservation(ids, now)

    def insert_many(
        self,
        connection: BaseDatabaseWrapper,
        batch: Batch,
        rows: Sequence[BatchRow],
        on_duplicate: str,
        *,
        hold_duplicates: bool,
    ) -> set[int]:
        statement = INSERT_BATCH
        if rows[0].unique_hash is not None:
            action = "hold" if hold_duplicates and on_duplicate == "keep" else on_duplicate
            statement = INSERT_UNIQUE_BATCH[action]
        with connection.cursor() as cursor:
            cursor.execute(statement, batch_parameters(batch, rows))
            if cursor.rowcount == len(rows) and on_duplicate == "keep":
                return {row.id for row in rows}
            return fetch_ids(cursor)

    def claim(
        self,
        connection: BaseDatabaseWrapper,
        queue_name: str,
        lanes: Sequence[Lane],
        limit: int,
        manager_id: int,
    ) -> list[ClaimedTask]:
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM, _claim_parameters(queue_name, lanes, limit, manager_id))
            return in_order(cursor.fetchall())

    def settle(
        self, connection: BaseDatabaseWrapper, settlements: Sequence[Settlement]
    ) -> dict[int, str]:
        statement, parameters = _FINISH, _outcome_arrays(settlements)
        if any(settlement.status != "finished" for settlement in settlements):
            statement, parameters = _SETTLE, [*parameters, *_change_arrays(settlements)]
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return dict(cursor.fetchall())

    def delete_settled(
        self, connection: BaseDatabaseWrapper, settlements: Sequence[Settlement]
    ) -> set[int]:
        with connection.cursor() as cursor:
            cursor.execute(_DELETE, _outcome_arrays(settlements))
            return fetch_ids(cursor)

    def settle_and_claim(
        self,
        connection: BaseDatabaseWrapper,
        settlements: Sequence[Settlement],
        queue_name: str,
        lanes: Sequence[Lane],
        limit: int,
        manager_id: int,
    ) -> tuple[set[int], list[ClaimedTask]]:
        parameters = [
            *_outcome_arrays(settlements),
            *_claim_parameters(queue_name, lanes, limit, manager_id),
        ]
        with connection.cursor() as cursor:
            cursor.execute(_FINISH_AND_CLAIM, parameters)
            rows = cursor.fetchall()
        recorded = {row[1] for row in rows if row[0]}
        return recorded, in_order([row[1:] for row in rows if not row[0]])

    def survey(self, connection: BaseDatabaseWrapper, queue_name: str) -> list[LaneSurvey]:
        with connection.cursor() as cursor:
            cursor.execute(SURVEY, survey_parameters(queue_name))
            return surveys_of(cursor.fetchall())

    def beat(self, connection: BaseDatabaseWrapper, beat: Beat) -> Pulse:
        with connection.cursor() as cursor:
            cursor.execute(*beat_statement(beat))
            return pulse_of(cursor.fetchall(), has_surveyed=beat.queue_name is not None)

    def regain_unique_keys(self, connection: BaseDatabaseWrapper, ids: Sequence[int]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_REGAIN, [_array(ids)])

    def request_cancel(
        self, connection: BaseDatabaseWrapper, ids: Sequence[int]
    ) -> list[CancelledRow]:
        with connection.cursor() as cursor:
            cursor.execute(_REQUEST_CANCEL, [_array(ids)])
            return [CancelledRow._make(row) for row in cursor.fetchall()]

    def prepare_options(self, connection: BaseDatabaseWrapper) -> None:
        options = connection.settings_dict["OPTIONS"]
        for name, value in _CONNECTION_LIMITS.items():
            options.setdefault(name, value)

    def hurry(self, connection: BaseDatabaseWrapper) -> None:
        connection.settings_dict["OPTIONS"]["connect_timeout"] = _SHORTEST_CONNECT_TIMEOUT

    def prepare_session(self, connection: BaseDatabaseWrapper, *, is_own: bool) -> None:
        if is_own:
            with connection.cursor() as cursor:
                cursor.execute(f"{_SESSION_LIMITS}; {_SESSION_PLANS}")

    def notify(self, connection: BaseDatabaseWrapper, queue_name: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, queue_name])

    def listen(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        _watch_notifications(connection.connection)

    def received_notifications(self, connection: BaseDatabaseWrapper) -> list[str]:
        # Past Django's cursor: a driver's own error would not be taken for one of the database.
        with connection.wrap_database_errors:
            return _drain_notifications(connection.connection)

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

    def data_version(self, connection: BaseDatabaseWrapper) -> int | None:  # noqa: ARG002
        return None


def _outcome_arrays(settlements: Sequence[Settlement]) -> list[Any]:
    return [
        _array(s.id for s in settlements),
        _array(s.lease for s in settlements),
        _results(settlements),
        _array(s.started_ago for s in settlements),
        _array(s.ended_ago for s in settlements),
    ]


def _change_arrays(settlements: Sequence[Settlement]) -> list[Any]:
    return [
        _array(s.status for s in settlements),
        _array(s.delay_seconds for s in settlements),
        _array(s.due_at for s in settlements),
        _array(s.attempts for s in settlements),
        _array(s.retries for s in settlements),
        _array(s.postpones for s in settlements),
        _array(s.rescues for s in settlements),
        _array(s.crashes for s in settlements),
        _array(s.leases for s in settlements),
    ]


def _claim_parameters(
    queue_name: str, lanes: Sequence[Lane], limit: int, manager_id: int
) -> list[Any]:
    return [
        _array(lane.priority for lane in lanes),
        _array(lane.due for lane in lanes),
        _array(lane.id for lane in lanes),
        queue_name,
        limit,
        limit,
        manager_id,
    ]


def _array(values: Iterable[Any]) -> str:
    """Return an array literal of plain numbers and words: far cheaper than the driver's own."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def _results(settlements: Sequence[Settlement]) -> list[str | None] | None:
    results = [s.result for s in settlements]
    return results if any(result is not None for result in results) else None


def _watch_notifications(raw: Any) -> None:
    """Collect psycopg 3's notifications: else one that arrives with a result is lost."""
    if hasattr(raw, "add_notify_handler"):
        raw.partisan_notifications = []
        raw.add_notify_handler(lambda notify: raw.partisan_notifications.append(notify.payload))


def _drain_notifications(raw: Any) -> list[str]:
    if raw is None:
        return []
    if hasattr(raw, "add_notify_handler"):
        return _drain_psycopg3(raw)
    raw.poll()
    payloads = [notify.payload for notify in raw.notifies]
    raw.notifies.clear()
    return payloads


def _drain_psycopg3(raw: Any) -> list[str]:
    readable = select.poll()
    readable.register(raw.fileno(), select.POLLIN)
    if readable.poll(0):
        raw.pgconn.consume_input()
    payloads: list[str] = raw.partisan_notifications
    while (notify := raw.pgconn.notifies()) is not None:
        payloads.append(notify.extra.decode())
    raw.partisan_notifications = []
    return payloads
