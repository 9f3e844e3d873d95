"""SQLite's statements of what is moved aside: held for a pause, freed after it, expired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.utils import CursorWrapper

from django_partisan.database.sqlite.dependents import leave_mark
from django_partisan.database.sqlite.moments import NOW, seconds_from_now
from django_partisan.database.values import (
    ATTEMPT,
    CLAIMABLE,
    PAUSE,
    TASK,
    UNTOLD,
    UNTOLD_SECONDS,
    Aside,
    Place,
)

# What a claim must not take leaves the index all the same: it is held, or cancelled. There are few
# pauses, and mostly none, so whether anything can be met is asked first.
_ACTIVE = f"(until IS NULL OR until > {NOW})"
_HAS_EXPIRED = f"expires_at <= {NOW}"
_EXPIRED = f"""expires_at IS NOT NULL AND finished_at IS NULL AND status = 'new'
       AND {_HAS_EXPIRED}"""
_PAUSED_NAMES = f"SELECT j.value FROM {PAUSE} p, json_each(p.names) j WHERE {_ACTIVE}"
PAUSED_QUEUES = f"SELECT queue_name FROM {PAUSE} WHERE queue_name IS NOT NULL AND {_ACTIVE}"
_IS_PAUSED = f"EXISTS (SELECT 1 FROM {PAUSE} WHERE queue_name = %s AND {_ACTIVE})"
WHAT_IS_PAUSED = f"""SELECT {_IS_PAUSED}, EXISTS ({_PAUSED_NAMES})
    OR EXISTS (SELECT 1 FROM {TASK} WHERE {_EXPIRED})"""
_MOVE_ASIDE = f"""UPDATE {TASK} SET
       status = CASE WHEN {_HAS_EXPIRED} THEN 'cancelled' ELSE status END,
       held_by = CASE WHEN {_HAS_EXPIRED} THEN NULL ELSE (
            SELECT p.id FROM {PAUSE} p, json_each(p.names) j
             WHERE j.value = {TASK}.processor_class AND {_ACTIVE}) END,
       finished_at = CASE WHEN {_HAS_EXPIRED} THEN {NOW} END,
       unique_key = CASE WHEN {_HAS_EXPIRED} THEN NULL ELSE unique_key END, updated_at = {NOW}
 WHERE id IN ({{ids}}) AND ({_HAS_EXPIRED} OR processor_class IN ({_PAUSED_NAMES}))
RETURNING id, priority, execute_after || '', status, attempts + 1, lease,
          strftime('expired at %%Y-%%m-%%d %%H:%%M:%%S+00:00', expires_at), has_dependents"""
EXPIRE = f"SELECT id FROM {TASK} WHERE {_EXPIRED} {{among}} ORDER BY expires_at LIMIT %s"
AMONG = "AND id IN (SELECT value FROM json_each(%s))"
_TELL = f"""INSERT INTO {ATTEMPT} (task_id, number, lease, outcome, error_type, message, traceback,
       node_name, created_at)
VALUES (%s, %s, %s, 'cancelled', 'TaskExpired', %s, '', '', {NOW})"""
FREE_HELD = f"""WITH RECURSIVE holder(id) AS (
    SELECT min(held_by) FROM {TASK} WHERE held_by IS NOT NULL
    UNION ALL
    SELECT (SELECT min(t.held_by) FROM {TASK} t WHERE t.held_by IS NOT NULL
        AND t.held_by > holder.id)
      FROM holder WHERE holder.id IS NOT NULL
)
UPDATE {TASK} SET held_by = NULL, updated_at = {NOW} WHERE id IN (
    SELECT id FROM {TASK} WHERE held_by IN (
        SELECT holder.id FROM holder WHERE NOT EXISTS (
            SELECT 1 FROM {PAUSE} p WHERE p.id = holder.id AND {_ACTIVE})) LIMIT %s)
RETURNING queue_name"""
_PLACE = "queue_name, priority, execute_after, id"
LOOKED = f"""SELECT queue_name, priority, execute_after || '', id, processor_class FROM {TASK}
 WHERE {CLAIMABLE} AND ({_PLACE}) > (%s, %s, %s, %s) ORDER BY {_PLACE} LIMIT %s"""
HOLD = f"""UPDATE {TASK} SET held_by = %s, updated_at = {NOW}
 WHERE id IN (SELECT value FROM json_each(%s)) AND {CLAIMABLE} RETURNING id"""
FIRST_PLACE = Place("", -(2**31), "", 0)
"""Before all places."""
LOOKS_ASIDE = f"""EXISTS (SELECT 1 FROM {PAUSE})
 OR EXISTS (SELECT 1 FROM {TASK} WHERE held_by IS NOT NULL),
    EXISTS (SELECT 1 FROM {TASK} WHERE {_EXPIRED}),
    EXISTS (SELECT 1 FROM {UNTOLD} WHERE created_at < {seconds_from_now(str(-UNTOLD_SECONDS))})"""
"""What a beat asks: whether there are pauses, or what one has held, and whether any has expired;
and whether dependents are still to be told."""


def moved_aside(cursor: CursorWrapper, ids: str, parameters: Sequence[Any]) -> list[Aside]:
    """Hold or cancel what a query names, as it must be; tell of the cancelled ones."""
    cursor.execute(_MOVE_ASIDE.format(ids=ids), parameters)
    rows = cursor.fetchall()
    cancelled = [row for row in rows if row[3] == "cancelled"]
    if cancelled:
        cursor.executemany(_TELL, [(row[0], *row[4:7]) for row in cancelled])
        leave_mark(cursor, [(row[0], row[3]) for row in cancelled if row[7]])
    return [Aside._make(row[:4]) for row in rows]
