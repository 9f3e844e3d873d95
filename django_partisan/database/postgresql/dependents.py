"""PostgreSQL's statements of dependencies: the mark that an end leaves, and telling dependents."""

from __future__ import annotations

from django_partisan.database.values import ATTEMPT, DEPENDENCY, TASK, UNTOLD


def marking(ended: str, condition: str, name: str = "mark") -> str:
    """Return the part of a statement that leaves a mark of those that others may wait for.

    ``ended`` names the part that has ended them, and returns their ``id`` and ``status``. It is the
    row under its own lock that says whether others wait: they may have come after the claim.
    """
    return f"""{name} AS (
    INSERT INTO {UNTOLD} (ends, created_at)
    SELECT jsonb_agg(jsonb_build_array(id, status)), statement_timestamp()
      FROM {ended} WHERE {condition} HAVING count(*) > 0 RETURNING id
)"""


INSERT_EDGES = f"""INSERT INTO {DEPENDENCY} (parent_id, child_id, policy, parent_outcome)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[])"""


# The words of DependencyFailed.
_REASON = """'task ' || doomed_by || CASE outcome WHEN 'error' THEN ' ended in error'
                ELSE ' was ' || outcome END"""

# A statement of its own, after the commit of the ends: what recorded them has an older snapshot
# than its locks, so an edge that was committed in between is not seen there. It waits for nobody:
# where somebody has locked a dependent, its mark stays, behind all others. Each look at another
# table is one by a key, whatever the statistics say: joins read all of it once these are of another
# time, and OFFSET 0 is what keeps the planner from making one of it.
# ``was`` is read under the lock: whoever acts on a state and not on its change counts twice.
TELL = f"""WITH batch AS MATERIALIZED (
    SELECT id, ends FROM {UNTOLD} ORDER BY created_at, id LIMIT %s FOR UPDATE SKIP LOCKED
), ended AS MATERIALIZED (
    SELECT b.id AS batch, (e.pair->>0)::bigint AS parent_id, e.pair->>1 AS outcome
      FROM batch b CROSS JOIN LATERAL jsonb_array_elements(b.ends) AS e(pair)
), edge AS MATERIALIZED (
    SELECT p.batch, p.parent_id, p.outcome, d.child_id,
           p.outcome <> 'finished' AND d.policy = 'cancel' AS dooms
      FROM ended p CROSS JOIN LATERAL (
        SELECT child_id, policy FROM {DEPENDENCY}
         WHERE parent_id = p.parent_id AND parent_outcome IS NULL OFFSET 0) d
), child AS MATERIALIZED (
    SELECT id, status AS was FROM {TASK} WHERE id = ANY (ARRAY(SELECT DISTINCT child_id FROM edge))
     ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
), locked AS MATERIALIZED (
    SELECT batch, parent_id FROM (
        SELECT * FROM edge WHERE child_id NOT IN (SELECT id FROM child) OFFSET 0) e
     WHERE EXISTS (SELECT FROM {TASK} t WHERE t.id = e.child_id OFFSET 0)
), done AS (
    DELETE FROM {UNTOLD} WHERE id = ANY (ARRAY(
        SELECT id FROM batch WHERE id NOT IN (SELECT batch FROM locked)))
), rest AS (
    UPDATE {UNTOLD} u SET ends = r.ends, created_at = statement_timestamp() FROM (
        SELECT batch, jsonb_agg(jsonb_build_array(parent_id, outcome)) AS ends FROM ended
         WHERE (batch, parent_id) IN (SELECT batch, parent_id FROM locked) GROUP BY batch) r
     WHERE u.id = r.batch
), counted AS MATERIALIZED (
    SELECT e.child_id, c.was, count(*)::int AS ended,
           (array_agg(e.parent_id ORDER BY e.parent_id) FILTER (WHERE e.dooms))[1] AS doomed_by,
           (array_agg(e.outcome ORDER BY e.parent_id) FILTER (WHERE e.dooms))[1] AS outcome
      FROM edge e JOIN child c ON c.id = e.child_id
     WHERE (e.batch, e.parent_id) NOT IN (SELECT batch, parent_id FROM locked)
     GROUP BY e.child_id, c.was
), changed AS (
    UPDATE {TASK} t SET blocked_by = t.blocked_by - n.ended, updated_at = statement_timestamp(),
           status = CASE WHEN t.status <> 'waiting' THEN t.status
                WHEN n.doomed_by IS NOT NULL THEN 'cancelled'
                WHEN t.blocked_by > n.ended THEN 'waiting'
                WHEN t.processor_class = '' THEN 'finished' ELSE 'new' END,
           finished_at = CASE WHEN t.status <> 'waiting' THEN t.finished_at
                WHEN n.doomed_by IS NOT NULL OR (t.blocked_by = n.ended AND t.processor_class = '')
                THEN statement_timestamp() END,
           unique_key = CASE WHEN t.status = 'waiting' AND n.doomed_by IS NOT NULL THEN NULL
                ELSE t.unique_key END
      FROM counted n WHERE t.id = n.child_id AND t.id = ANY (ARRAY(SELECT child_id FROM counted))
    RETURNING t.id, t.status, t.queue_name, t.has_dependents, t.attempts, t.lease,
              n.was, n.doomed_by, n.outcome
), again AS (
    INSERT INTO {UNTOLD} (ends, created_at)
    SELECT jsonb_agg(jsonb_build_array(id, status)), statement_timestamp() FROM changed
     WHERE was = 'waiting' AND status IN ('cancelled', 'finished') AND has_dependents
    HAVING count(*) > 0 RETURNING id
), told AS (
    INSERT INTO {ATTEMPT} (task_id, number, lease, outcome, error_type, message, traceback,
           node_name, created_at)
    SELECT id, attempts + 1, lease, 'cancelled', 'DependencyFailed',
           {_REASON}, '', '', statement_timestamp()
      FROM changed WHERE was = 'waiting' AND status = 'cancelled'
)
SELECT ARRAY(SELECT DISTINCT queue_name FROM changed WHERE was = 'waiting' AND status = 'new'),
       ARRAY(SELECT id FROM changed WHERE was = 'waiting' AND status = 'cancelled'),
       EXISTS (SELECT FROM again)
    OR (SELECT count(*) FROM batch) = %s AND NOT EXISTS (SELECT FROM locked),
       EXISTS (SELECT FROM locked)"""
