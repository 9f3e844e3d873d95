"""PostgreSQL's statements of what is moved aside: held for a pause, freed after it, expired."""

from __future__ import annotations

from django_partisan.database.postgresql.dependents import marking
from django_partisan.database.values import ATTEMPT, CLAIMABLE, PAUSE, TASK

ACTIVE = "(until IS NULL OR until > statement_timestamp())"
"""Of a row of pauses: whether it holds now. Passed ones are removed some time later."""
IS_PAUSED = f"EXISTS (SELECT FROM {PAUSE} WHERE queue_name = %s AND {ACTIVE})"
"""Of a queue. It depends on no row around it, so it is asked once in a statement."""
PAUSED_QUEUES = f"SELECT queue_name FROM {PAUSE} WHERE queue_name IS NOT NULL AND {ACTIVE}"
IS_ASIDE = f"""(expires_at <= statement_timestamp() OR processor_class = ANY (ARRAY(
            SELECT jsonb_array_elements_text(names) FROM {PAUSE} WHERE {ACTIVE})))"""
"""Of a waiting task: whether it is not to be claimed; NULL stands for no."""
_HAS_EXPIRED = "t.expires_at <= statement_timestamp()"
_PAUSE_OF = f"""(SELECT p.id FROM {PAUSE} p WHERE {ACTIVE}
            AND t.processor_class IN (SELECT jsonb_array_elements_text(p.names)) LIMIT 1)"""


def moving_aside(ids: str) -> str:
    """Return the parts of a statement that hold or cancel the tasks that a query names.

    ``aside`` then has their rows. Whoever is held keeps all else that the row says.
    """
    return f"""aside AS (
    UPDATE {TASK} t SET status = CASE WHEN {_HAS_EXPIRED} THEN 'cancelled' ELSE t.status END,
           held_by = CASE WHEN {_HAS_EXPIRED} THEN NULL ELSE {_PAUSE_OF} END,
           finished_at = CASE WHEN {_HAS_EXPIRED} THEN statement_timestamp() END,
           unique_key = CASE WHEN {_HAS_EXPIRED} THEN NULL ELSE t.unique_key END,
           updated_at = statement_timestamp()
     WHERE t.id = ANY (ARRAY({ids}))
    RETURNING t.id, t.status, t.priority, t.execute_after, t.attempts, t.lease, t.expires_at,
              t.has_dependents
), {marking("aside", "has_dependents AND status = 'cancelled'", "aside_mark")}, told AS (
    INSERT INTO {ATTEMPT} (task_id, number, lease, outcome, error_type, message, traceback,
           node_name, created_at)
    SELECT id, attempts + 1, lease, 'cancelled', 'TaskExpired', 'expired at ' || to_char(
               expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"+00:00"'), '', '',
           statement_timestamp()
      FROM aside WHERE status = 'cancelled'
)"""


# By the index of what may expire, the longest expired first. The status is compared as no index
# states it: by the index of all that waits, a planner that knows of nothing waiting would read it.
EXPIRED = """expires_at IS NOT NULL AND finished_at IS NULL
       AND expires_at <= statement_timestamp() AND status || '' = 'new'"""
_EXPIRE = f"""WITH pick AS MATERIALIZED (
    SELECT id FROM {TASK} WHERE {EXPIRED} {{among}}
     ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED
), {moving_aside("SELECT id FROM pick")} SELECT id FROM aside"""
EXPIRE = _EXPIRE.format(among="")
EXPIRE_AMONG = _EXPIRE.format(among="AND id = ANY (%s::bigint[])")

# One look at the index for each pause that holds something, however many tasks it holds. The task
# of a pause that is not visible is not either: whoever held it has seen the pause. In no order: for
# one, with statistics of a drained table, the primary key would be walked.
FREE_HELD = f"""WITH RECURSIVE holder AS (
    (SELECT held_by FROM {TASK} WHERE held_by IS NOT NULL
      ORDER BY held_by LIMIT 1)
    UNION ALL
    SELECT (SELECT t.held_by FROM {TASK} t WHERE t.held_by IS NOT NULL
               AND t.held_by > holder.held_by ORDER BY t.held_by LIMIT 1)
      FROM holder WHERE holder.held_by IS NOT NULL
), over AS MATERIALIZED (
    SELECT held_by FROM holder WHERE held_by IS NOT NULL
       AND NOT EXISTS (SELECT FROM {PAUSE} p WHERE p.id = holder.held_by AND {ACTIVE})
), pick AS MATERIALIZED (
    SELECT t.id FROM over CROSS JOIN LATERAL (
        SELECT id FROM {TASK} WHERE held_by = over.held_by
         LIMIT %s FOR UPDATE SKIP LOCKED
    ) t LIMIT %s
)
UPDATE {TASK} t SET held_by = NULL, updated_at = statement_timestamp()
 WHERE t.id = ANY (ARRAY(SELECT id FROM pick)) RETURNING t.queue_name"""

# One way through the index of what waits, a window at a time: a processor has no index of its own.
_PLACE = "queue_name, priority, execute_after, id"
HOLD = f"""WITH looked AS MATERIALIZED (
    SELECT {_PLACE}, processor_class FROM {TASK} WHERE {CLAIMABLE} AND ({_PLACE}) > (
        %s, %s, COALESCE(timestamptz 'epoch' + %s::bigint * interval '1 microsecond', '-infinity'),
        %s)
     ORDER BY {_PLACE} LIMIT %s
), pick AS MATERIALIZED (
    SELECT id FROM {TASK} WHERE id = ANY (ARRAY(
        SELECT id FROM looked WHERE processor_class = ANY (%s::text[]))) AND {CLAIMABLE}
     ORDER BY id FOR UPDATE SKIP LOCKED
), held AS (
    UPDATE {TASK} t SET held_by = %s, updated_at = statement_timestamp()
     WHERE t.id = ANY (ARRAY(SELECT id FROM pick)) RETURNING t.id
)
SELECT (SELECT count(*) FROM held), (SELECT count(*) FROM looked), last.*
  FROM (SELECT) one LEFT JOIN (
    SELECT queue_name, priority, (extract(epoch FROM execute_after) * 1000000)::bigint, id
      FROM looked ORDER BY queue_name DESC, priority DESC, execute_after DESC, id DESC LIMIT 1
) last ON true"""
