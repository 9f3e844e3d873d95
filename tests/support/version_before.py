"""A manager of the version before pauses and expiry, as far as the database sees one.

Its statements, word for word: what it inserts, surveys, claims and records.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import connection

_POSTGRESQL: Final = {
    "insert": """INSERT INTO django_partisan_task (status, queue_name, created_at, updated_at,
    processor_class, priority, execute_after, arguments, extra, unique_hash, unique_key,
    is_unique_until_finish)
VALUES ('new', 'default', statement_timestamp(), statement_timestamp(), %s, 10,
    statement_timestamp(), '{"args": [], "kwargs": {}}', '{}', NULL, NULL, false) RETURNING id""",
    "survey": """SELECT priority FROM django_partisan_task
 WHERE status = 'new' AND queue_name = 'default' ORDER BY priority LIMIT 1""",
    "claim": """WITH pick AS MATERIALIZED (
    SELECT t.id FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS start(priority, due, id)
     CROSS JOIN LATERAL (
        SELECT id FROM django_partisan_task
         WHERE status = 'new' AND queue_name = %s AND priority = start.priority
           AND execute_after <= statement_timestamp() AND (execute_after, id) > (COALESCE(
               timestamptz 'epoch' + start.due * interval '1 microsecond', '-infinity'), start.id)
         ORDER BY execute_after, id LIMIT %s FOR UPDATE SKIP LOCKED
    ) t LIMIT %s
), claimed AS (
    UPDATE django_partisan_task t SET status = 'in_process', lease = t.lease + 1, manager_id = %s,
           claimed_at = statement_timestamp(), updated_at = statement_timestamp(),
           attempts = t.attempts + 1, started_at = NULL,
           unique_key = CASE WHEN t.is_unique_until_finish THEN t.unique_key END
     WHERE t.id = ANY (ARRAY(SELECT id FROM pick))
    RETURNING t.id, t.lease
) SELECT * FROM claimed""",
    "finish": """UPDATE django_partisan_task t SET status = 'finished', unique_key = NULL,
       manager_id = NULL, updated_at = statement_timestamp(), started_at = statement_timestamp(),
       finished_at = statement_timestamp()
 WHERE id = %s AND lease = %s AND status = 'in_process' RETURNING t.id""",
}
_NOW: Final = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"
_SQLITE: Final = {
    "insert": f"""INSERT INTO django_partisan_task (status, queue_name, created_at, updated_at,
    processor_class, priority, execute_after, arguments, extra, unique_hash, unique_key,
    is_unique_until_finish)
VALUES ('new', 'default', {_NOW}, {_NOW}, %s, 10, {_NOW},
    '{{"args": [], "kwargs": {{}}}}', '{{}}', NULL, NULL, 0) RETURNING id""",
    "survey": """SELECT min(priority) FROM django_partisan_task
 WHERE status = 'new' AND queue_name = 'default'""",
    "claim": f"""UPDATE django_partisan_task SET status = 'in_process', lease = lease + 1,
       manager_id = %s, claimed_at = {_NOW}, updated_at = {_NOW},
       attempts = attempts + 1, started_at = NULL,
       unique_key = CASE WHEN is_unique_until_finish THEN unique_key END
 WHERE id IN (SELECT id FROM django_partisan_task WHERE status = 'new' AND queue_name = %s
       AND priority = %s AND execute_after <= {_NOW} ORDER BY execute_after, id LIMIT %s)
RETURNING id, lease""",
    "finish": f"""UPDATE django_partisan_task SET status = 'finished', unique_key = NULL,
       manager_id = NULL, updated_at = {_NOW}, started_at = {_NOW},
       finished_at = {_NOW}
 WHERE id = %s AND lease = %s AND status = 'in_process' RETURNING id""",
}


def _asked(name: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    statements = _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE
    with connection.cursor() as cursor:
        cursor.execute(statements[name], parameters)
        return list(cursor.fetchall())


def insert(processor_class: str) -> int:
    """Store a task as a web process of that version does."""
    return int(_asked("insert", [processor_class])[0][0])


def survey() -> int | None:
    """Return the best priority that such a manager finds."""
    found = _asked("survey", [])
    return found[0][0] if found else None


def claim(limit: int, owner: int, priority: int = 10) -> list[tuple[Any, ...]]:
    """Claim as such a manager does; return ids and leases."""
    if connection.vendor == "postgresql":
        arrays = [f"{{{priority}}}", "{NULL}", "{0}"]
        return _asked("claim", [*arrays, "default", limit, limit, owner])
    return _asked("claim", [owner, "default", priority, limit])


def finish(task_id: int, lease: int) -> bool:
    """Record as such a manager does; say whether the lease still held."""
    return bool(_asked("finish", [task_id, lease]))
