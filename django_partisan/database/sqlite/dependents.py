"""SQLite's statements of dependencies: the mark that an end leaves, and telling dependents."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.db.backends.utils import CursorWrapper

from django_partisan.database.sqlite.moments import NOW
from django_partisan.database.values import ATTEMPT, DEPENDENCY, TASK, UNTOLD, Told
from django_partisan.exceptions import DependencyFailed

INSERT_EDGES = f"""INSERT INTO {DEPENDENCY} (parent_id, child_id, policy, parent_outcome)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
       json_extract(value, '$[3]') FROM json_each(%s)"""

# There is one writer at a time, so several statements in one transaction see the same.
_MARK = f"INSERT INTO {UNTOLD} (ends, created_at) VALUES (%s, {NOW})"
_MARKS = f"SELECT id, ends FROM {UNTOLD} ORDER BY id LIMIT %s"
_UNMARK = f"DELETE FROM {UNTOLD} WHERE id IN (SELECT value FROM json_each(%s))"
_COUNTED = f"""SELECT d.child_id, count(*), t.status,
       min(CASE WHEN json_extract(e.value, '$[1]') <> 'finished' AND d.policy = 'cancel'
            THEN printf('%%019d', d.parent_id) || ' ' || json_extract(e.value, '$[1]') END)
  FROM json_each(%s) e JOIN {DEPENDENCY} d ON d.parent_id = json_extract(e.value, '$[0]')
  JOIN {TASK} t ON t.id = d.child_id
 WHERE d.parent_outcome IS NULL GROUP BY d.child_id, t.status"""
_CHANGE = f"""UPDATE {TASK} SET blocked_by = blocked_by - n.ended, updated_at = {NOW},
       status = CASE WHEN status <> 'waiting' THEN status WHEN n.is_doomed THEN 'cancelled'
            WHEN blocked_by > n.ended THEN 'waiting'
            WHEN processor_class = '' THEN 'finished' ELSE 'new' END,
       finished_at = CASE WHEN status <> 'waiting' THEN finished_at
            WHEN n.is_doomed OR (blocked_by = n.ended AND processor_class = '') THEN {NOW} END,
       unique_key = CASE WHEN status = 'waiting' AND n.is_doomed THEN NULL ELSE unique_key END
  FROM (SELECT json_extract(value, '$[0]') AS child_id, json_extract(value, '$[1]') AS ended,
               json_extract(value, '$[3]') IS NOT NULL AS is_doomed FROM json_each(%s)) AS n
 WHERE {TASK}.id = n.child_id
RETURNING id, status, queue_name, has_dependents, attempts, lease"""
_TELL = f"""INSERT INTO {ATTEMPT} (task_id, number, lease, outcome, error_type, message, traceback,
       node_name, created_at)
VALUES (%s, %s, %s, 'cancelled', 'DependencyFailed', %s, '', '', {NOW})"""


def leave_mark(cursor: CursorWrapper, ends: Sequence[tuple[int, str]]) -> bool:
    """Note that tasks have ended which others wait for; say whether there was any."""
    if ends:
        cursor.execute(_MARK, [json.dumps(ends)])
    return bool(ends)


def tell(cursor: CursorWrapper, limit: int) -> Told:
    """Tell the dependents of up to so many marks, in the transaction that is open."""
    cursor.execute(_MARKS, [limit])
    marks = cursor.fetchall()
    ends = [end for _, text in marks for end in json.loads(text)]
    cursor.execute(_COUNTED, [json.dumps(ends)])
    counted = cursor.fetchall()
    waited = {row[0]: row[3] for row in counted if row[2] == "waiting"}
    cursor.execute(_CHANGE, [json.dumps(counted)])
    changed = [row for row in cursor.fetchall() if row[0] in waited]
    cancelled = [row for row in changed if row[1] == "cancelled"]
    cursor.executemany(
        _TELL, [(row[0], row[4] + 1, row[5], _reason(waited[row[0]])) for row in cancelled]
    )
    again = [row[:2] for row in changed if row[1] in ("cancelled", "finished") and row[3]]
    cursor.execute(_UNMARK, [json.dumps([pk for pk, _ in marks])])
    has_more = leave_mark(cursor, again) or len(marks) == limit
    queue_names = {row[2] for row in changed if row[1] == "new"}
    return Told(queue_names, [row[0] for row in cancelled], has_more, has_locked=False)


def _reason(doom: str) -> str:
    parent_id, outcome = doom.split(" ")
    return str(DependencyFailed(int(parent_id), outcome))
