"""SQLite's statements of what waits, and of a manager's beat."""

from __future__ import annotations

from django_partisan.database.conditions import UNPLANNED
from django_partisan.database.sqlite.aside import LOOKS_ASIDE, PAUSED_QUEUES
from django_partisan.database.sqlite.moments import NOW, seconds_from_now
from django_partisan.database.values import CLAIMABLE, MANAGER, SCHEDULE, TASK

# The same walk over the distinct priorities of the ready index as on PostgreSQL.
SURVEY = f"""WITH RECURSIVE level(queue, priority, place) AS (
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
QUEUE_NAMES = f"""WITH RECURSIVE queue(name) AS (
    SELECT min(queue_name) FROM {TASK} WHERE {CLAIMABLE}
    UNION ALL
    SELECT (SELECT min(t.queue_name) FROM {TASK} t WHERE {CLAIMABLE}
        AND t.queue_name > queue.name) FROM queue WHERE queue.name IS NOT NULL
)
SELECT name FROM queue WHERE name IS NOT NULL"""
BEAT = f"""UPDATE {MANAGER} SET last_seen = {NOW}, state = %s, snapshot = %s
 WHERE id = %s AND last_seen > {seconds_from_now("%s")}"""
HAS_ORPHANS = f"""SELECT EXISTS (
    SELECT 1 FROM {MANAGER} WHERE id <> %s AND last_seen <= {seconds_from_now("%s")}
) OR EXISTS (SELECT 1 FROM {TASK} t WHERE status = 'in_process' AND NOT EXISTS (
    SELECT 1 FROM {MANAGER} m
     WHERE m.id = t.manager_id AND m.last_seen > {seconds_from_now("%s")})),
    {LOOKS_ASIDE}"""
SCHEDULE_DUE_IN = f"""SELECT CASE
    WHEN EXISTS (SELECT 1 FROM {SCHEDULE} WHERE {UNPLANNED["sqlite"]}) THEN 0.0
    ELSE (julianday((SELECT min(next_run_at) FROM {SCHEDULE} WHERE next_run_at IS NOT NULL))
        - julianday('now')) * 86400.0 END"""
