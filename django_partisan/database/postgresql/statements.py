"""PostgreSQL's statements that claim tasks, record or delete them, and request their cancel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from django_partisan.attempt import ClaimedTask
from django_partisan.database.dialect import in_order
from django_partisan.database.postgresql.aside import IS_ASIDE, IS_PAUSED, moving_aside
from django_partisan.database.postgresql.dependents import marking
from django_partisan.database.values import (
    CLAIMABLE,
    DEPENDENCY,
    TASK,
    Aside,
    Claimed,
    Cursor,
    TaskUpdate,
)

# What a claim carries that is not the column of that name as it is.
_CLAIMED = {
    "arguments": "t.arguments::text",
    "due": "(extract(epoch FROM t.execute_after) * 1000000)::bigint",
    "starts_by": "extract(epoch FROM t.expires_at - statement_timestamp())::float8",
}
_CLAIMED_COLUMNS = ", ".join(_CLAIMED.get(name, f"t.{name}") for name in ClaimedTask._fields)
_ID_ONLY = ", ".join("id" if name == "id" else "NULL" for name in ClaimedTask._fields)
# In the places of a claim's columns: whoever has no lease here was not taken.
_ASIDE = {
    "id": "id",
    "processor_class": "status",
    "priority": "priority",
    "due": "(extract(epoch FROM execute_after) * 1000000)::bigint",
}
_LEASE, _STATUS, _PRIORITY, _DUE = map(
    ClaimedTask._fields.index, ("lease", "processor_class", "priority", "due")
)
_ASIDE_COLUMNS = ", ".join(_ASIDE.get(name, "NULL") for name in ClaimedTask._fields)

# MATERIALIZED: an inlined LIMIT may run twice and claim too many. ANY(ARRAY(...)) rather than a
# join: with statistics of the time when the table was empty, a join reads the whole table.
# Priority by priority from its cursor on: future tasks of a better one and the dead entries of
# tasks claimed before, which a long transaction keeps in the index, are not walked over.
# What it meets and must not take leaves the index all the same, so that no claim walks over it.
_CLAIM_PARTS = f"""pick AS MATERIALIZED (
    SELECT t.* FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS start(priority, due, id)
     CROSS JOIN LATERAL (
        SELECT id, {IS_ASIDE} AS is_aside FROM {TASK}
         WHERE {CLAIMABLE} AND queue_name = %s AND priority = start.priority
           AND execute_after <= statement_timestamp() AND (execute_after, id) > (COALESCE(
               timestamptz 'epoch' + start.due * interval '1 microsecond', '-infinity'), start.id)
         ORDER BY execute_after, id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
    ) t WHERE NOT {IS_PAUSED} LIMIT %s
), {moving_aside("SELECT id FROM pick WHERE is_aside")}, claimed AS (
    UPDATE {TASK} t SET status = 'in_process', lease = t.lease + 1, manager_id = %s,
           claimed_at = statement_timestamp(), updated_at = statement_timestamp(),
           attempts = t.attempts + 1, started_at = NULL,
           unique_key = CASE WHEN t.is_unique_until_finish OR t.unique_for_seconds IS NOT NULL
                THEN t.unique_key END
     WHERE t.id = ANY (ARRAY(SELECT id FROM pick WHERE is_aside IS NOT TRUE))
    RETURNING {_CLAIMED_COLUMNS}
)"""
CLAIM = f"""WITH {_CLAIM_PARTS}
SELECT * FROM claimed UNION ALL SELECT {_ASIDE_COLUMNS} FROM aside"""
_UPDATE_TYPES = {
    **dict.fromkeys(("id", "lease"), "bigint"),
    **dict.fromkeys(("status", "result"), "text"),
    **dict.fromkeys(("delay_seconds", "due_at", "started_ago", "ended_ago"), "float8"),
}
_ALL_FIELDS = TaskUpdate._fields
_END_FIELDS = ("id", "lease", "result", "started_ago", "ended_ago")


def _outcomes(fields: Sequence[str]) -> str:
    """Return the rows of a statement, each an update's fields; :func:`_arrays` has the values."""
    arrays = ", ".join(f"%s::{_UPDATE_TYPES.get(name, 'int')}[]" for name in fields)
    return f"""outcome AS (
    SELECT * FROM unnest({arrays}) AS o({", ".join(fields)})
)"""


_OUTCOMES = _outcomes(_END_FIELDS)


# SKIP LOCKED, in id order: a row that a stranger has locked must not hold up the whole batch.
# LATERAL with a lock inside is one look at an index per outcome, whatever the statistics say.
# NO KEY: an insert elsewhere that points at a task holds up nothing, however long its transaction.
def _held(columns: str, lock: str = "NO KEY UPDATE") -> str:
    return f"""held AS MATERIALIZED (
    SELECT t.id AS held_id, {columns}
      FROM (SELECT * FROM outcome ORDER BY id) o CROSS JOIN LATERAL (
        SELECT id, cancel_requested_at FROM {TASK}
         WHERE id = o.id AND lease = o.lease AND status = 'in_process' FOR {lock} SKIP LOCKED
    ) t
)"""


_HELD = _held("o.*")
# Read under the lock: else somebody might ask for the end of what is about to wait, unheard.
_HELD_TO_RECORD = _held("""o.*, CASE WHEN o.status = 'new' AND t.cancel_requested_at IS NOT NULL
        THEN 'cancelled' ELSE o.status END AS status_then""")
_FINISH_PARTS = f"""{_OUTCOMES}, {_HELD}, recorded AS (
    UPDATE {TASK} t SET status = 'finished', result = h.result::jsonb, manager_id = NULL,
           unique_key = CASE WHEN t.unique_for_seconds IS NOT NULL THEN t.unique_key END,
           updated_at = statement_timestamp(),
           started_at = statement_timestamp() - h.started_ago * interval '1 second',
           finished_at = statement_timestamp() - h.ended_ago * interval '1 second'
      FROM held h WHERE t.id = h.held_id AND t.id = ANY (ARRAY(SELECT held_id FROM held))
    RETURNING t.id, t.status, t.has_dependents
), {marking("recorded", "has_dependents")}"""
FINISH_AND_CLAIM = f"""WITH {_FINISH_PARTS}, {_CLAIM_PARTS}
SELECT true, {_ID_ONLY} FROM recorded
UNION ALL SELECT false, * FROM claimed
UNION ALL SELECT false, {_ASIDE_COLUMNS} FROM aside
UNION ALL SELECT NULL, {_ID_ONLY} FROM mark"""
_RECORDED = "SELECT id, status FROM recorded UNION ALL SELECT NULL, NULL FROM mark"
FINISH = f"WITH {_FINISH_PARTS} {_RECORDED}"
DELETE = f"""WITH {_OUTCOMES}, {_held("o.*", "UPDATE")}, deleted AS (
    DELETE FROM {TASK} t WHERE t.id = ANY (ARRAY(SELECT held_id FROM held))
       AND t.unique_for_seconds IS NULL AND NOT t.has_dependents RETURNING t.id
), forgotten AS (
    DELETE FROM {DEPENDENCY} WHERE child_id = ANY (ARRAY(SELECT id FROM deleted))
)
SELECT id FROM deleted"""
RECORD = f"""WITH {_outcomes(_ALL_FIELDS)}, {_HELD_TO_RECORD}, recorded AS (
UPDATE {TASK} t SET status = h.status_then, result = h.result::jsonb, manager_id = NULL,
       updated_at = statement_timestamp(),
       execute_after = COALESCE(to_timestamp(h.due_at),
            statement_timestamp() + h.delay_seconds * interval '1 second', t.execute_after),
       claimed_at = CASE WHEN h.status_then = 'new' THEN NULL ELSE t.claimed_at END,
       started_at = CASE WHEN h.status_then = 'new' THEN NULL
            ELSE statement_timestamp() - h.started_ago * interval '1 second' END,
       finished_at = CASE WHEN h.status_then = 'new' THEN NULL
            ELSE statement_timestamp() - h.ended_ago * interval '1 second' END,
       unique_key = CASE WHEN h.status_then = 'new' OR t.unique_for_seconds IS NOT NULL
            THEN t.unique_key END,
       attempts = t.attempts + h.attempts, retries = t.retries + h.retries,
       postpones = t.postpones + h.postpones, rescues = t.rescues + h.rescues,
       crashes = t.crashes + h.crashes, lease = t.lease + h.leases
  FROM held h WHERE t.id = h.held_id AND t.id = ANY (ARRAY(SELECT held_id FROM held))
RETURNING t.id, t.status, t.has_dependents
), {marking("recorded", "has_dependents AND status <> 'new'")} {_RECORDED}"""

# In the order of their ids, as everybody locks them.
REQUEST_CANCEL = f"""WITH pick AS MATERIALIZED (
    SELECT id FROM {TASK} WHERE id = ANY (%s::bigint[])
       AND status IN ('new', 'waiting', 'in_process') ORDER BY id FOR NO KEY UPDATE
), recorded AS (
UPDATE {TASK} t SET
       status = CASE WHEN t.status = 'in_process' THEN t.status ELSE 'cancelled' END,
       cancel_requested_at = COALESCE(t.cancel_requested_at, statement_timestamp()),
       finished_at = CASE WHEN t.status <> 'in_process' THEN statement_timestamp() END,
       unique_key = CASE WHEN t.status = 'in_process' THEN t.unique_key END, held_by = NULL,
       updated_at = statement_timestamp()
 WHERE t.id = ANY (ARRAY(SELECT id FROM pick))
RETURNING t.id, t.status, t.queue_name, t.has_dependents
), {marking("recorded", "has_dependents AND status = 'cancelled'")}
SELECT id, status, queue_name FROM recorded UNION ALL SELECT NULL, NULL, NULL FROM mark"""
REGAIN = f"""UPDATE {TASK} t SET unique_key = t.unique_hash
  FROM (SELECT min(id) AS id FROM {TASK} WHERE id = ANY(%s::bigint[]) AND status = 'new'
         AND unique_key IS NULL AND unique_hash IS NOT NULL GROUP BY unique_hash) first
 WHERE t.id = first.id AND t.status = 'new' AND t.unique_key IS NULL
   AND NOT EXISTS (SELECT 1 FROM {TASK} d WHERE d.unique_key = t.unique_hash)"""


def end_arrays(updates: Sequence[TaskUpdate]) -> list[Any]:
    """Return what FINISH, FINISH_AND_CLAIM and DELETE are told of updates."""
    return _arrays(updates, _END_FIELDS)


def update_arrays(updates: Sequence[TaskUpdate]) -> list[Any]:
    """Return what RECORD is told of updates: everything."""
    return _arrays(updates, _ALL_FIELDS)


def claim_parameters(
    queue_name: str, cursors: Sequence[Cursor], limit: int, manager_id: int
) -> list[Any]:
    """Return the parameters of CLAIM, which come last in FINISH_AND_CLAIM."""
    return [
        array(start.priority for start in cursors),
        array(start.due for start in cursors),
        array(start.id for start in cursors),
        queue_name,
        limit,
        queue_name,
        limit,
        manager_id,
    ]


def claimed_of(rows: Sequence[tuple[Any, ...]], began: float) -> Claimed:
    """Return what a claim's rows say was taken, and what was moved aside."""
    taken = [row for row in rows if row[_LEASE] is not None]
    aside = [
        Aside(row[0], row[_PRIORITY], row[_DUE], row[_STATUS])
        for row in rows
        if row[_LEASE] is None
    ]
    return in_order(taken, began, aside)


def array(values: Iterable[Any]) -> str:
    """Return an array literal of plain numbers and words: far cheaper than the driver's own."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def _arrays(updates: Sequence[TaskUpdate], fields: Sequence[str]) -> list[Any]:
    return [
        _results(updates) if name == "result" else array(map(attrgetter(name), updates))
        for name in fields
    ]


def _results(updates: Sequence[TaskUpdate]) -> list[str | None] | None:
    results = [update.result for update in updates]
    return results if any(result is not None for result in results) else None
