"""PostgreSQL's statements that claim tasks, record or delete them, and request their cancel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django_partisan.database.values import TASK, Cursor, TaskUpdate

_CLAIMED_COLUMNS = """t.id, t.lease, t.processor_class, t.arguments::text, t.queue_name, t.priority,
    (extract(epoch FROM t.execute_after) * 1000000)::bigint, t.attempts, t.retries,
    t.postpones, t.rescues, t.crashes"""

# MATERIALIZED: an inlined LIMIT may run twice and claim too many. ANY(ARRAY(...)) rather than a
# join: with statistics of the time when the table was empty, a join reads the whole table.
# Priority by priority from its cursor on: future tasks of a better one and the dead entries of
# tasks claimed before, which a long transaction keeps in the index, are not walked over.
_CLAIM_PARTS = f"""pick AS MATERIALIZED (
    SELECT t.id FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS start(priority, due, id)
     CROSS JOIN LATERAL (
        SELECT id FROM {TASK}
         WHERE status = 'new' AND queue_name = %s AND priority = start.priority
           AND execute_after <= statement_timestamp() AND (execute_after, id) > (COALESCE(
               timestamptz 'epoch' + start.due * interval '1 microsecond', '-infinity'), start.id)
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
CLAIM = f"WITH {_CLAIM_PARTS} SELECT * FROM claimed"
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
_HELD_TO_RECORD = _held("""o.*, CASE WHEN o.status = 'new' AND t.cancel_requested_at IS NOT NULL
        THEN 'cancelled' ELSE o.status END AS status_then""")
_FINISH_PARTS = f"""{_OUTCOMES}, {_HELD}, recorded AS (
    UPDATE {TASK} t SET status = 'finished', result = h.result::jsonb, unique_key = NULL,
           manager_id = NULL, updated_at = statement_timestamp(),
           started_at = statement_timestamp() - h.started_ago * interval '1 second',
           finished_at = statement_timestamp() - h.ended_ago * interval '1 second'
      FROM held h WHERE t.id = h.held_id AND t.id = ANY (ARRAY(SELECT held_id FROM held))
    RETURNING t.id
)"""
FINISH_AND_CLAIM = f"""WITH {_FINISH_PARTS}, {_CLAIM_PARTS}
SELECT true, id, NULL::bigint, NULL::varchar, NULL::text, NULL::varchar, NULL::int, NULL::bigint,
       NULL::int, NULL::int, NULL::int, NULL::int, NULL::int FROM recorded
UNION ALL SELECT false, * FROM claimed"""
FINISH = f"WITH {_FINISH_PARTS} SELECT id, 'finished' FROM recorded"
DELETE = f"""WITH {_OUTCOMES}, {_HELD}
DELETE FROM {TASK} t WHERE t.id = ANY (ARRAY(SELECT held_id FROM held)) RETURNING t.id"""
RECORD = f"""WITH outcome AS (
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::float8[], %s::float8[],
        %s::text[], %s::float8[], %s::float8[], %s::int[], %s::int[], %s::int[], %s::int[],
        %s::int[], %s::int[])
        AS o(id, lease, result, started_ago, ended_ago, status, delay, due_at, attempts, retries,
             postpones, rescues, crashes, leases)
), {_HELD_TO_RECORD}
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
REQUEST_CANCEL = f"""WITH pick AS MATERIALIZED (
    SELECT id FROM {TASK} WHERE id = ANY (%s::bigint[]) AND status IN ('new', 'in_process')
     ORDER BY id FOR UPDATE
)
UPDATE {TASK} t SET status = CASE WHEN t.status = 'new' THEN 'cancelled' ELSE t.status END,
       cancel_requested_at = COALESCE(t.cancel_requested_at, statement_timestamp()),
       finished_at = CASE WHEN t.status = 'new' THEN statement_timestamp() END,
       unique_key = CASE WHEN t.status <> 'new' THEN t.unique_key END,
       updated_at = statement_timestamp()
 WHERE t.id = ANY (ARRAY(SELECT id FROM pick)) RETURNING t.id, t.status, t.queue_name"""
REGAIN = f"""UPDATE {TASK} t SET unique_key = t.unique_hash
  FROM (SELECT min(id) AS id FROM {TASK} WHERE id = ANY(%s::bigint[]) AND status = 'new'
         AND unique_key IS NULL AND unique_hash IS NOT NULL GROUP BY unique_hash) first
 WHERE t.id = first.id AND t.status = 'new' AND t.unique_key IS NULL
   AND NOT EXISTS (SELECT 1 FROM {TASK} d WHERE d.unique_key = t.unique_hash)"""


def outcome_arrays(updates: Sequence[TaskUpdate]) -> list[Any]:
    """Return what every statement that ends attempts is told of them."""
    return [
        array(s.id for s in updates),
        array(s.lease for s in updates),
        _results(updates),
        array(s.started_ago for s in updates),
        array(s.ended_ago for s in updates),
    ]


def change_arrays(updates: Sequence[TaskUpdate]) -> list[Any]:
    """Return what RECORD is told besides: the new statuses, and what counters gain."""
    return [
        array(s.status for s in updates),
        array(s.delay_seconds for s in updates),
        array(s.due_at for s in updates),
        array(s.attempts for s in updates),
        array(s.retries for s in updates),
        array(s.postpones for s in updates),
        array(s.rescues for s in updates),
        array(s.crashes for s in updates),
        array(s.leases for s in updates),
    ]


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
        limit,
        manager_id,
    ]


def array(values: Iterable[Any]) -> str:
    """Return an array literal of plain numbers and words: far cheaper than the driver's own."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def _results(updates: Sequence[TaskUpdate]) -> list[str | None] | None:
    results = [s.result for s in updates]
    return results if any(result is not None for result in results) else None
