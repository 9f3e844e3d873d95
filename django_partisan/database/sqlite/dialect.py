"""SQLite: one manager per file, one short statement at a time, the file itself as wake-up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import ClassVar

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from django_partisan.attempt import ClaimedTask
from django_partisan.database.conditions import UNPLANNED
from django_partisan.database.dialect import Dialect, fetch_ids, in_order
from django_partisan.database.sqlite.aside import (
    AMONG,
    EXPIRE,
    FIRST_PLACE,
    FREE_HELD,
    HOLD,
    LOOKED,
    LOOKS_ASIDE,
    PAUSED_QUEUES,
    WHAT_IS_PAUSED,
    moved_aside,
)
from django_partisan.database.sqlite.moments import (
    FORMAT,
    NOW,
    moment_of,
    seconds_from_now,
    text_of,
)
from django_partisan.database.values import (
    CLAIMABLE,
    MANAGER,
    MAX_PRIORITIES,
    SCHEDULE,
    TASK,
    Aside,
    Batch,
    BatchRow,
    Beat,
    CancelledRow,
    Claimed,
    Cursor,
    Follower,
    InsertedTask,
    Link,
    NewTask,
    Place,
    Pulse,
    Reservation,
    Survey,
    Surveyed,
    TaskUpdate,
)

_WRONG_FILES = {
    "unable to open database file": (
        "the file {name} cannot be opened or made (is its directory there, and may you write in"
        " it?); correct that, or NAME"
    ),
    "file is not a database": "the file {name} is no SQLite database; correct NAME",
}
"""What SQLite says of a file that will never do, and what to correct."""
_MICROSECONDS = (
    "(CAST(strftime('%%s', {0}) AS INTEGER) * 1000000"
    " + CAST(substr(strftime('%%f', {0}), 4) AS INTEGER) * 1000)"
)
# What a claim carries that is not the column of that name as it is.
_CLAIMED = {
    "due": "execute_after || ''",
    "starts_by": "(julianday(expires_at) - julianday('now')) * 86400.0",
}

# UPDATE takes no alias here, and WITH holds no UPDATE: hence two statements where others need one.
_CLAIM = f"""UPDATE {TASK} SET status = 'in_process', lease = lease + 1, manager_id = %s,
       claimed_at = {NOW}, updated_at = {NOW}, attempts = attempts + 1, started_at = NULL,
       unique_key = CASE WHEN is_unique_until_finish OR unique_for_seconds IS NOT NULL
            THEN unique_key END
 WHERE id IN (SELECT id FROM ({{levels}}) LIMIT %s)
RETURNING {", ".join(_CLAIMED.get(name, name) for name in ClaimedTask._fields)}"""

# One for each priority, since there is no LATERAL: future tasks of a better priority are not read.
_LEVEL = f"""SELECT * FROM (SELECT id FROM {TASK}
     WHERE {CLAIMABLE} AND queue_name = %s AND priority = %s AND execute_after <= {NOW}
     ORDER BY execute_after, id LIMIT %s)"""
_OUTCOMES = ", ".join(
    f"json_extract(value, '$[{place}]') AS x_{name}"
    for place, name in enumerate(TaskUpdate._fields)
)
_STILL_OURS = f"{TASK}.id = x.x_id AND {TASK}.lease = x.x_lease AND {TASK}.status = 'in_process'"

# What would wait again ends here where that was asked for.
_STATUS = """CASE WHEN x.x_status = 'new' AND cancel_requested_at IS NOT NULL THEN 'cancelled'
            ELSE x.x_status END"""
_RECORD = f"""UPDATE {TASK} SET status = {_STATUS}, result = x.x_result, manager_id = NULL,
       updated_at = {NOW},
       execute_after = CASE
            WHEN x.x_due_at IS NOT NULL THEN strftime({FORMAT}, x.x_due_at, 'unixepoch')
            WHEN x.x_delay_seconds IS NOT NULL THEN {seconds_from_now("x.x_delay_seconds")}
            ELSE execute_after END,
       claimed_at = CASE WHEN {_STATUS} = 'new' THEN NULL ELSE claimed_at END,
       started_at = CASE WHEN {_STATUS} = 'new' OR x.x_started_ago IS NULL THEN NULL
            ELSE {seconds_from_now("-x.x_started_ago")} END,
       finished_at = CASE WHEN {_STATUS} = 'new' THEN NULL
            ELSE {seconds_from_now("-x.x_ended_ago")} END,
       unique_key = CASE WHEN {_STATUS} = 'new' OR unique_for_seconds IS NOT NULL
            THEN unique_key END,
       attempts = attempts + x.x_attempts, retries = retries + x.x_retries,
       postpones = postpones + x.x_postpones, rescues = rescues + x.x_rescues,
       crashes = crashes + x.x_crashes, lease = lease + x.x_leases
  FROM (SELECT {_OUTCOMES} FROM json_each(%s)) AS x
 WHERE {_STILL_OURS} RETURNING id, status"""
_REQUEST_CANCEL = f"""UPDATE {TASK} SET
       status = CASE WHEN status = 'new' THEN 'cancelled' ELSE status END,
       cancel_requested_at = COALESCE(cancel_requested_at, {NOW}),
       finished_at = CASE WHEN status = 'new' THEN {NOW} END,
       unique_key = CASE WHEN status <> 'new' THEN unique_key END, held_by = NULL,
       updated_at = {NOW}
 WHERE id IN (SELECT value FROM json_each(%s)) AND status IN ('new', 'in_process')
RETURNING id, status, queue_name"""
_DELETE = f"""DELETE FROM {TASK}
 WHERE status = 'in_process' AND unique_for_seconds IS NULL AND id IN (
    SELECT t.id FROM {TASK} t JOIN (SELECT {_OUTCOMES} FROM json_each(%s)) x
        ON t.id = x.x_id AND t.lease = x.x_lease)
RETURNING id"""
_ON_DUPLICATE = {
    "keep": "DO NOTHING",
    "replace": """DO UPDATE SET execute_after = excluded.execute_after,
        priority = excluded.priority, arguments = excluded.arguments,
        expires_at = excluded.expires_at,
        updated_at = excluded.updated_at WHERE status = 'new'""",
    "earlier": """DO UPDATE SET execute_after = excluded.execute_after,
        updated_at = excluded.updated_at
        WHERE status = 'new' AND execute_after > excluded.execute_after""",
    # What has been tried before keeps its time, which is that of a retry or a postpone.
    "debounce": """DO UPDATE SET arguments = excluded.arguments, priority = excluded.priority,
        execute_after = CASE WHEN attempts > 0 OR postpones > 0 THEN execute_after
            ELSE min(excluded.execute_after, COALESCE(debounce_until, excluded.debounce_until)) END,
        debounce_until = COALESCE(debounce_until, excluded.debounce_until),
        expires_at = excluded.expires_at,
        updated_at = excluded.updated_at WHERE status = 'new'""",
}
_CONFLICT = "ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL"
_COLUMNS = """status, queue_name, created_at, updated_at, processor_class, priority, execute_after,
    arguments, extra, unique_hash, unique_key, is_unique_until_finish"""
_DUE = f"COALESCE(%s, {seconds_from_now('%s')})"
_VALUES = f"'new', %s, {NOW}, {NOW}, %s, %s, {_DUE}, %s, '{{}}', %s, %s, %s"
# Counted from the moment at which the task is due, and not before it is stored.
_EXPIRES_AT = f"""COALESCE(%s, strftime({FORMAT}, max({NOW}, {_DUE}),
    printf('%%+.3f seconds', %s)))"""
# What only some tasks have: a value for each column.
_MORE: dict[str, dict[str, str]] = {
    "repeat": {"repeat_seconds": "%s", "repeat_until": "%s", "repeat_slot": _DUE},
    "expiry": {"expires_at": _EXPIRES_AT},
    "throttle": {"unique_for_seconds": "%s"},
    "debounce": {"debounce_until": seconds_from_now("%s")},
}
_MORE_OF_BATCH: dict[str, dict[str, str]] = {
    "repeat": {"repeat_seconds": "%s", "repeat_until": "%s", "repeat_slot": "%s"},
    "expiry": {"expires_at": "%s"},
    "throttle": {"unique_for_seconds": "%s"},
    "debounce": {"debounce_until": "%s"},
}


@cache
def _insert(on_duplicate: str, more: tuple[str, ...]) -> str:
    columns = _columns(_MORE, more)
    names, values = (
        ", ".join(each) for each in ([_COLUMNS, *columns], [_VALUES, *columns.values()])
    )
    source = f"VALUES ({values})"
    if on_duplicate != "keep":
        # Changes what is there and inserts nothing: RETURNING does not tell the two apart.
        source = f"SELECT {values} WHERE EXISTS (SELECT 1 FROM {TASK} WHERE unique_key = %s)"
    return f"""INSERT INTO {TASK} ({names}) {source}
{_CONFLICT} {_action(on_duplicate, columns)}
RETURNING id, created_at, execute_after{", expires_at" * ("expires_at" in columns)}"""


@cache
def _insert_batch(on_duplicate: str, more: tuple[str, ...]) -> str:
    columns = _columns(_MORE_OF_BATCH, more)
    # WHERE true: else SQLite takes ON CONFLICT for the condition of a join.
    return f"""INSERT INTO {TASK} ({", ".join(["id", _COLUMNS, *columns])})
SELECT {", ".join([_BATCH_VALUES, *columns.values()])} FROM json_each(%s) WHERE true
{_CONFLICT} {_action(on_duplicate, columns)} RETURNING id"""


def _columns(values: dict[str, dict[str, str]], more: tuple[str, ...]) -> dict[str, str]:
    return {column: value for kind in more for column, value in values[kind].items()}


def _action(on_duplicate: str, columns: Iterable[str]) -> str:
    """Return what happens to a duplicate; what replaces it gives it its own of these columns."""
    # What replaces a task without an expiry has none either: the action itself says so.
    replaced = [column for column in columns if column != "expires_at"]
    given = {"replace": replaced, "earlier": [c for c in columns if c == "repeat_slot"]}
    also = "".join(f" {column} = excluded.{column}," for column in given.get(on_duplicate, ()))
    return _ON_DUPLICATE[on_duplicate].replace("DO UPDATE SET", f"DO UPDATE SET{also}", 1)


# The counter of AUTOINCREMENT has no row before the table's first one. Both statements write, so
# that from the first of them on nobody else does.
_RESERVE = f"""UPDATE sqlite_sequence SET seq = seq + %s WHERE name = '{TASK}'
RETURNING seq, {NOW}"""
_RESERVE_FIRST = f"""INSERT INTO sqlite_sequence (name, seq)
SELECT '{TASK}', COALESCE(max(id), 0) + %s FROM {TASK} RETURNING seq, {NOW}"""

_BATCH_VALUES = """json_extract(value, '$[0]'), 'new', %s, %s, %s, %s, %s, %s,
       json_extract(value, '$[1]'), '{}', json_extract(value, '$[2]'),
       json_extract(value, '$[2]'), %s"""
_LINKS = f"""SELECT id, queue_name, COALESCE(repeat_slot, execute_after) || '', repeat_seconds,
       repeat_until || '', cancel_requested_at IS NOT NULL
  FROM {TASK}
 WHERE id IN (SELECT value FROM json_each(%s)) AND status = 'finished'
   AND repeat_seconds IS NOT NULL
 ORDER BY id"""
_INSERT_FOLLOWERS = f"""INSERT INTO {TASK} (id, {_COLUMNS}, {", ".join(_MORE["repeat"])},
    expires_at)
SELECT f.id, 'new', t.queue_name, {NOW}, {NOW}, t.processor_class, t.priority, f.slot,
       t.arguments, '{{}}', t.unique_hash, t.unique_hash, t.is_unique_until_finish,
       t.repeat_seconds, t.repeat_until, f.slot,
       strftime({FORMAT}, julianday(f.slot) + julianday(t.expires_at)
            - julianday(COALESCE(t.repeat_slot, t.execute_after)))
  FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS link_id,
               json_extract(value, '$[2]') AS slot FROM json_each(%s)) f
  JOIN {TASK} t ON t.id = f.link_id WHERE true {_CONFLICT} DO NOTHING RETURNING id"""

# The same walk over the distinct priorities of the ready index as on PostgreSQL.
_SURVEY = f"""WITH RECURSIVE level(queue, priority, place) AS (
    SELECT value, (SELECT min(t.priority) FROM {TASK} t WHERE {CLAIMABLE}
        AND t.queue_name = value), 1 FROM json_each(%s)
     WHERE value NOT IN ({PAUSED_QUEUES})
    UNION ALL
    SELECT queue, (SELECT min(t.priority) FROM {TASK} t WHERE {CLAIMABLE}
        AND t.queue_name = level.queue AND t.priority > level.priority), place + 1
      FROM level WHERE level.priority IS NOT NULL AND place < %s
)
SELECT queue, priority,
       (SELECT min(t.execute_after) FROM {TASK} t WHERE {CLAIMABLE}
           AND t.queue_name = level.queue AND t.priority = level.priority) <= {NOW},
       (julianday((SELECT min(t.execute_after) FROM {TASK} t WHERE {CLAIMABLE}
           AND t.queue_name = level.queue AND t.priority = level.priority
           AND t.execute_after > {NOW})) - julianday('now')) * 86400.0
  FROM level WHERE priority IS NOT NULL ORDER BY priority"""
_QUEUE_NAMES = f"""WITH RECURSIVE queue(name) AS (
    SELECT min(queue_name) FROM {TASK} WHERE {CLAIMABLE}
    UNION ALL
    SELECT (SELECT min(t.queue_name) FROM {TASK} t WHERE {CLAIMABLE}
        AND t.queue_name > queue.name) FROM queue WHERE queue.name IS NOT NULL
)
SELECT name FROM queue WHERE name IS NOT NULL"""
_BEAT = f"""UPDATE {MANAGER} SET last_seen = {NOW}, state = %s, snapshot = %s
 WHERE id = %s AND last_seen > {seconds_from_now("%s")}"""
_HAS_ORPHANS = f"""SELECT EXISTS (
    SELECT 1 FROM {MANAGER} WHERE id <> %s AND last_seen <= {seconds_from_now("%s")}
) OR EXISTS (SELECT 1 FROM {TASK} t WHERE status = 'in_process' AND NOT EXISTS (
    SELECT 1 FROM {MANAGER} m
     WHERE m.id = t.manager_id AND m.last_seen > {seconds_from_now("%s")})),
    {LOOKS_ASIDE}"""
_SCHEDULE_DUE_IN = f"""SELECT CASE
    WHEN EXISTS (SELECT 1 FROM {SCHEDULE} WHERE {UNPLANNED["sqlite"]}) THEN 0.0
    ELSE (julianday((SELECT min(next_run_at) FROM {SCHEDULE} WHERE next_run_at IS NOT NULL))
        - julianday('now')) * 86400.0 END"""
_REGAIN = f"""UPDATE {TASK} SET unique_key = unique_hash
 WHERE id IN (SELECT min(id) FROM {TASK}
         WHERE id IN (SELECT value FROM json_each(%s)) AND status = 'new'
           AND unique_key IS NULL AND unique_hash IS NOT NULL GROUP BY unique_hash)
   AND NOT EXISTS (SELECT 1 FROM {TASK} d WHERE d.unique_key = {TASK}.unique_hash)"""


class SQLite(Dialect):
    """SQLite 3.35 or newer, in WAL mode."""

    has_one_manager: ClassVar[bool] = True
    now_sql: ClassVar[str] = NOW
    microseconds_sql: ClassVar[str] = _MICROSECONDS
    throttle_is_over: ClassVar[str] = """unique_for_seconds IS NOT NULL AND status <> 'new'
        AND (status <> 'in_process' OR NOT is_unique_until_finish)
        AND julianday(COALESCE(started_at, claimed_at, updated_at))
            + unique_for_seconds / 86400.0 <= julianday('now')"""

    def insert(
        self, connection: BaseDatabaseWrapper, task: NewTask, on_duplicate: str
    ) -> InsertedTask | None:
        due_at, more = _text_or_none(task.due_at), task.more()
        parameters = task.parameters(due_at)
        if task.repeat is not None:
            until = _text_or_none(task.repeat.until)
            parameters += [task.repeat.seconds, until, due_at, task.delay_seconds]
        if task.expiry is not None:
            at, seconds = task.expiry
            parameters += [_text_or_none(at), due_at, task.delay_seconds, seconds]
        parameters += [each for each in task[-2:] if each is not None]
        with connection.cursor() as cursor:
            row = cursor.execute(_insert("keep", more), parameters).fetchone()
            is_new = row is not None
            if row is None and on_duplicate != "keep":
                change = _insert(on_duplicate, more)
                row = cursor.execute(change, [*parameters, task.unique_hash]).fetchone()
        if row is None:
            return None
        created_at, execute_after, *expires_at = map(moment_of, row[1:])
        return InsertedTask(row[0], created_at, execute_after, is_new, *expires_at)

    def reserve(self, connection: BaseDatabaseWrapper, count: int) -> Reservation:
        with connection.cursor() as cursor:
            row = cursor.execute(_RESERVE, [count]).fetchone()
            if row is None:
                row = cursor.execute(_RESERVE_FIRST, [count]).fetchone()
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
        moments = text_of(batch.created_at), text_of(batch.execute_after)
        parameters = batch.parameters(*moments)
        if batch.repeat is not None:
            parameters += [batch.repeat.seconds, _text_or_none(batch.repeat.until), moments[1]]
        if batch.expires_at is not None:
            parameters.append(text_of(batch.expires_at))
        if batch.unique_for_seconds is not None:
            parameters.append(batch.unique_for_seconds)
        if batch.debounce_until is not None:
            parameters.append(text_of(batch.debounce_until))
        statement = _insert_batch(on_duplicate, batch.more())
        with connection.cursor() as cursor:
            cursor.execute(statement, [*parameters, json.dumps(rows)])
            return fetch_ids(cursor)

    def links(self, connection: BaseDatabaseWrapper, ids: Sequence[int]) -> list[Link]:
        with connection.cursor() as cursor:
            cursor.execute(_LINKS, [json.dumps(list(ids))])
            return [
                Link(
                    pk,
                    queue_name,
                    moment_of(slot),
                    seconds,
                    until and moment_of(until),
                    bool(is_last),
                )
                for pk, queue_name, slot, seconds, until, is_last in cursor.fetchall()
            ]

    def insert_followers(
        self, connection: BaseDatabaseWrapper, followers: Sequence[Follower]
    ) -> set[int]:
        rows = [(each.id, each.link_id, text_of(each.slot)) for each in followers]
        with connection.cursor() as cursor:
            cursor.execute(_INSERT_FOLLOWERS, [json.dumps(rows)])
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
        places = " UNION ALL ".join([_LEVEL] * len(cursors))
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
            cursor.execute(_CLAIM.format(levels=places), [manager_id, *each, limit - len(aside)])
            return in_order(cursor.fetchall(), began, aside)

    def record(
        self, connection: BaseDatabaseWrapper, updates: Sequence[TaskUpdate]
    ) -> dict[int, str]:
        with connection.cursor() as cursor:
            cursor.execute(_RECORD, [json.dumps(updates)])
            return dict(cursor.fetchall())

    def delete_recorded(
        self, connection: BaseDatabaseWrapper, updates: Sequence[TaskUpdate]
    ) -> set[int]:
        with connection.cursor() as cursor:
            cursor.execute(_DELETE, [json.dumps(updates)])
            return fetch_ids(cursor)

    def record_and_claim(
        self,
        connection: BaseDatabaseWrapper,
        updates: Sequence[TaskUpdate],
        queue_name: str,
        cursors: Sequence[Cursor],
        limit: int,
        manager_id: int,
    ) -> tuple[set[int], Claimed]:
        recorded = set(self.record(connection, updates))
        return recorded, self.claim(connection, queue_name, cursors, limit, manager_id)

    def survey(self, connection: BaseDatabaseWrapper, queue_names: Sequence[str]) -> Survey:
        found: Survey = {name: [] for name in queue_names}
        with connection.cursor() as cursor:
            cursor.execute(_SURVEY, [json.dumps(queue_names), MAX_PRIORITIES])
            for queue_name, priority, has_due, next_due_in in cursor.fetchall():
                # No cursor: rows that are gone leave nothing behind in the index.
                surveyed = Surveyed(Cursor(priority), bool(has_due), next_due_in)
                found[queue_name].append(surveyed)
        return found

    def queue_names(self, connection: BaseDatabaseWrapper) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(_QUEUE_NAMES)
            return [name for (name,) in cursor.fetchall()]

    def beat(self, connection: BaseDatabaseWrapper, beat: Beat) -> Pulse:
        seconds = -beat.dead_after
        with connection.cursor() as cursor:
            cursor.execute(_BEAT, [beat.state, beat.snapshot, beat.manager_id, seconds])
            is_alive = cursor.rowcount == 1
            cursor.execute(_HAS_ORPHANS, [beat.manager_id, seconds, seconds])
            has_orphans, has_pauses, has_expired = map(bool, cursor.fetchone())
            cursor.execute(_SCHEDULE_DUE_IN)
            schedule_due_in = cursor.fetchone()[0]
        found = self.survey(connection, beat.queue_names) if beat.queue_names else {}
        return Pulse(
            is_alive=is_alive,
            has_orphans=has_orphans,
            found=found,
            has_pauses=has_pauses,
            has_expired=has_expired,
            schedule_due_in=schedule_due_in,
        )

    def regain_unique_keys(self, connection: BaseDatabaseWrapper, ids: Sequence[int]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_REGAIN, [json.dumps(list(ids))])

    def request_cancel(
        self, connection: BaseDatabaseWrapper, ids: Sequence[int]
    ) -> list[CancelledRow]:
        with connection.cursor() as cursor:
            cursor.execute(_REQUEST_CANCEL, [json.dumps(ids)])
            return [CancelledRow._make(row) for row in cursor.fetchall()]

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


def _text_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else text_of(moment)
