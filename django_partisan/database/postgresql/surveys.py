"""PostgreSQL's statements of an idle manager: the survey of its queue, and the heartbeat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django_partisan.database.values import (
    MANAGER,
    MAX_PRIORITIES,
    TASK,
    Beat,
    Cursor,
    Pulse,
    Surveyed,
)

# A walk over the distinct priorities of the ready index: a few probes for each of them, however
# many rows wait.
_LEVELS = f"""level AS (
    (SELECT priority, 1 AS place FROM {TASK} WHERE status = 'new' AND queue_name = %s
      ORDER BY priority LIMIT 1)
    UNION ALL
    SELECT (SELECT t.priority FROM {TASK} t WHERE t.status = 'new' AND t.queue_name = %s
        AND t.priority > level.priority ORDER BY t.priority LIMIT 1), place + 1
      FROM level WHERE level.priority IS NOT NULL AND place < %s
)"""
_FOUND = f"""SELECT level.priority,
       (extract(epoch FROM LEAST(first.execute_after, statement_timestamp())) * 1000000)::bigint,
       first.execute_after <= statement_timestamp(),
       extract(epoch FROM future.execute_after - statement_timestamp())::float8
  FROM level
 CROSS JOIN LATERAL (
    SELECT execute_after FROM {TASK} WHERE status = 'new' AND queue_name = %s
       AND priority = level.priority ORDER BY execute_after, id LIMIT 1) first
  LEFT JOIN LATERAL (
    SELECT execute_after FROM {TASK} WHERE status = 'new' AND queue_name = %s
       AND priority = level.priority AND execute_after > statement_timestamp()
     ORDER BY execute_after, id LIMIT 1) future ON true
 WHERE level.priority IS NOT NULL"""
SURVEY = f"WITH RECURSIVE {_LEVELS} {_FOUND}"
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
       EXISTS (SELECT FROM {MANAGER} WHERE id <> %s) AS has_peers"""
_BEAT_ONLY = f"WITH {_BEAT} {_ALIVE}"

# One statement where an idle manager would need two.
_BEAT_AND_SURVEY = f"""WITH RECURSIVE {_BEAT}, {_LEVELS}
SELECT alive.*, found.* FROM ({_ALIVE}) alive LEFT JOIN ({_FOUND}) found ON true"""


def survey_parameters(queue_name: str) -> list[Any]:
    """Return the parameters of SURVEY."""
    return [*_levels_parameters(queue_name), queue_name, queue_name]


def surveys_of(rows: Iterable[Sequence[Any]]) -> list[Surveyed]:
    """Return what SURVEY found."""
    return [
        # Just before the first task that is there, or before now: new ones come after.
        Surveyed(Cursor(priority, first - 1), has_due=has_due, next_due_in=next_due_in)
        for priority, first, has_due, next_due_in in rows
    ]


def beat_statement(beat: Beat) -> tuple[str, list[Any]]:
    """Return the statement of a beat, with a survey where a queue is named, and its parameters."""
    update = [beat.state, beat.snapshot, beat.manager_id, beat.dead_after]
    others = [beat.manager_id, beat.dead_after, beat.dead_after, beat.manager_id]
    if beat.queue_name is None:
        return _BEAT_ONLY, [*update, *others]
    queue = beat.queue_name
    return _BEAT_AND_SURVEY, [*update, *_levels_parameters(queue), *others, queue, queue]


def pulse_of(rows: Sequence[Sequence[Any]], *, has_surveyed: bool) -> Pulse:
    """Return what the statement of a beat answered."""
    is_alive, has_orphans, has_peers, *_ = rows[0]
    found = surveys_of(row[3:] for row in rows if row[3] is not None) if has_surveyed else None
    return Pulse(is_alive, has_orphans, found, has_peers)


def _levels_parameters(queue_name: str) -> list[Any]:
    return [queue_name, queue_name, MAX_PRIORITIES]
