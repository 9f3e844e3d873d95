"""PostgreSQL's statements of an idle manager: the survey of its queues, and the heartbeat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django_partisan.database.conditions import UNPLANNED
from django_partisan.database.postgresql.aside import EXPIRED, PAUSED_QUEUES
from django_partisan.database.values import (
    CLAIMABLE,
    MANAGER,
    MAX_PRIORITIES,
    PAUSE,
    SCHEDULE,
    TASK,
    UNTOLD,
    UNTOLD_SECONDS,
    Beat,
    Cursor,
    Pulse,
    Survey,
    Surveyed,
)

# A walk over the distinct priorities of the ready index: a few probes for each of them, however
# many rows wait. One statement for all queues that are asked about, which never are one condition
# (queue_name = ANY): that would read and sort all that waits.
_LEVELS = f"""level AS (
    SELECT q.name AS queue, (SELECT t.priority FROM {TASK} t WHERE {CLAIMABLE}
        AND t.queue_name = q.name ORDER BY t.priority LIMIT 1) AS priority, 1 AS place
      FROM unnest(%s::text[]) AS q(name) WHERE q.name <> ALL (ARRAY({PAUSED_QUEUES}))
    UNION ALL
    SELECT queue, (SELECT t.priority FROM {TASK} t WHERE {CLAIMABLE}
        AND t.queue_name = level.queue AND t.priority > level.priority
      ORDER BY t.priority LIMIT 1), place + 1
      FROM level WHERE level.priority IS NOT NULL AND place < %s
)"""
_FOUND = f"""SELECT level.queue, level.priority,
       (extract(epoch FROM LEAST(first.execute_after, statement_timestamp())) * 1000000)::bigint,
       first.execute_after <= statement_timestamp(),
       extract(epoch FROM future.execute_after - statement_timestamp())::float8
  FROM level
 CROSS JOIN LATERAL (
    SELECT execute_after FROM {TASK} WHERE {CLAIMABLE} AND queue_name = level.queue
       AND priority = level.priority ORDER BY execute_after, id LIMIT 1) first
  LEFT JOIN LATERAL (
    SELECT execute_after FROM {TASK} WHERE {CLAIMABLE} AND queue_name = level.queue
       AND priority = level.priority AND execute_after > statement_timestamp()
     ORDER BY execute_after, id LIMIT 1) future ON true
 WHERE level.priority IS NOT NULL"""
SURVEY = f"WITH RECURSIVE {_LEVELS} {_FOUND}"

# From each name to the next one: DISTINCT would read all that waits.
QUEUE_NAMES = f"""WITH RECURSIVE queue AS (
    (SELECT queue_name FROM {TASK} WHERE {CLAIMABLE} ORDER BY queue_name LIMIT 1)
    UNION ALL
    SELECT (SELECT t.queue_name FROM {TASK} t WHERE {CLAIMABLE}
        AND t.queue_name > queue.queue_name ORDER BY t.queue_name LIMIT 1)
      FROM queue WHERE queue.queue_name IS NOT NULL
)
SELECT queue_name FROM queue WHERE queue_name IS NOT NULL"""
_LAST_MOMENT = "statement_timestamp() - %s * interval '1 second'"
_BEAT = f"""beat AS (
    UPDATE {MANAGER} SET last_seen = statement_timestamp(), state = %s, snapshot = %s::jsonb
     WHERE id = %s AND last_seen > {_LAST_MOMENT} RETURNING id
)"""
_ALIVE = f"""SELECT EXISTS (SELECT FROM beat) AS is_alive,
       EXISTS (SELECT FROM {MANAGER} WHERE id <> %s AND last_seen <= {_LAST_MOMENT})
    OR EXISTS (SELECT FROM {TASK} t WHERE status = 'in_process' AND NOT EXISTS (
        SELECT FROM {MANAGER} m WHERE m.id = t.manager_id AND m.last_seen > {_LAST_MOMENT}
    )) AS has_orphans,
       EXISTS (SELECT FROM {MANAGER} WHERE id <> %s) AS has_peers,
       EXISTS (SELECT FROM {PAUSE})
    OR EXISTS (SELECT FROM {TASK} WHERE held_by IS NOT NULL) AS has_pauses,
       EXISTS (SELECT FROM {TASK} WHERE {EXPIRED}) AS has_expired,
       EXISTS (SELECT FROM {UNTOLD} WHERE created_at
            < statement_timestamp() - interval '{UNTOLD_SECONDS} seconds') AS has_untold,
       CASE WHEN EXISTS (SELECT FROM {SCHEDULE} WHERE {UNPLANNED["postgresql"]}) THEN 0
            ELSE (SELECT extract(epoch FROM min(next_run_at) - statement_timestamp())::float8
                    FROM {SCHEDULE} WHERE next_run_at IS NOT NULL) END AS schedule_due_in"""
_ALIVE_COLUMNS = len(Pulse._fields) - 1
_BEAT_ONLY = f"WITH {_BEAT} {_ALIVE}"

# One statement where an idle manager would need two.
_BEAT_AND_SURVEY = f"""WITH RECURSIVE {_BEAT}, {_LEVELS}
SELECT alive.*, found.* FROM ({_ALIVE}) alive LEFT JOIN ({_FOUND}) found ON true"""


def survey_parameters(queue_names: Sequence[str]) -> list[Any]:
    """Return the parameters of SURVEY."""
    return [list(queue_names), MAX_PRIORITIES]


def surveys_of(queue_names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Survey:
    """Return what SURVEY found in these queues."""
    found: Survey = {name: [] for name in queue_names}
    for queue_name, priority, first, has_due, next_due_in in rows:
        # Just before the first task that is there, or before now: new ones come after.
        cursor = Cursor(priority, first - 1)
        found[queue_name].append(Surveyed(cursor, has_due=has_due, next_due_in=next_due_in))
    return found


def beat_statement(beat: Beat) -> tuple[str, list[Any]]:
    """Return the statement of a beat, with a survey where queues are named, and its parameters."""
    update = [beat.state, beat.snapshot, beat.manager_id, beat.dead_after]
    others = [beat.manager_id, beat.dead_after, beat.dead_after, beat.manager_id]
    if not beat.queue_names:
        return _BEAT_ONLY, [*update, *others]
    return _BEAT_AND_SURVEY, [*update, *survey_parameters(beat.queue_names), *others]


def pulse_of(rows: Sequence[Sequence[Any]], queue_names: Sequence[str]) -> Pulse:
    """Return what the statement of a beat answered."""
    is_alive, has_orphans, *others = rows[0][:_ALIVE_COLUMNS]
    levels = (row[_ALIVE_COLUMNS:] for row in rows)
    found = surveys_of(queue_names, [row for row in levels if row and row[0] is not None])
    return Pulse(is_alive, has_orphans, found, *others)
