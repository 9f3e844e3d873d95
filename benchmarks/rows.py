"""Tasks stored by one SQL statement: ``bulk_create()`` takes longer than what is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

from benchmarks.bench_app.partisan_tasks import Noop, UniqueNoop


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Tasks as ``.delay()`` would store them; their argument is their number."""

    count: int
    first: int = 0
    processor: type[Noop] = UniqueNoop
    queue_name: str = "default"
    priority: int = Noop.PRIORITY
    due_in_seconds: float = 0
    status: str = "new"
    """``new``, or ``finished`` for tasks that ended a day ago. PostgreSQL only, as is the queue."""


_FILL: Final = {
    "postgresql": """
WITH task AS (
    SELECT n, %(status)s = 'finished' AS ended,
           CASE WHEN %(is_unique)s THEN gen_random_uuid() END AS key
      FROM generate_series(%(first)s, %(first)s + %(count)s - 1) n)
INSERT INTO django_partisan_task (status, queue_name, created_at, updated_at, processor_class,
       priority, execute_after, arguments, extra, unique_hash, unique_key,
       attempts, lease, claimed_at, started_at, finished_at)
SELECT %(status)s, %(queue_name)s, now(), now(), %(name)s, %(priority)s,
       now() + %(due_in_seconds)s * interval '1 second',
       jsonb_build_object('args', jsonb_build_array(n), 'kwargs', '{}'::jsonb), '{}',
       key, CASE WHEN NOT ended THEN key END, ended::int, ended::int,
       CASE WHEN ended THEN now() - interval '1 day' END,
       CASE WHEN ended THEN now() - interval '1 day' END,
       CASE WHEN ended THEN now() - interval '1 day' END
  FROM task""",
    "sqlite": """
WITH RECURSIVE task(n) AS (
    SELECT %(first)s UNION ALL SELECT n + 1 FROM task WHERE n < %(first)s + %(count)s - 1
), keyed AS MATERIALIZED (
    SELECT n, CASE WHEN %(is_unique)s THEN lower(hex(randomblob(16))) END AS key FROM task)
INSERT INTO django_partisan_task (status, queue_name, created_at, updated_at, processor_class,
       priority, arguments, extra, unique_hash, unique_key)
SELECT 'new', 'default', datetime('now'), datetime('now'), %(name)s, %(priority)s,
       json_object('args', json_array(n), 'kwargs', json('{}')), '{}', key, key
  FROM keyed""",
}


def clear() -> None:
    """Leave no task behind, and no trace of former ones in the table's files."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_partisan_attempt")
        cursor.execute("DELETE FROM django_partisan_dependency")
        if connection.vendor == "postgresql":
            cursor.execute("TRUNCATE django_partisan_task")
        else:
            cursor.execute("DELETE FROM django_partisan_task")


def fill(rows: Rows) -> None:
    """Store tasks in one statement and one commit."""
    values: dict[str, Any] = {**vars(rows), "is_unique": rows.processor.UNIQUE_FOR_PARAMS}
    values["name"] = rows.processor(0).processor_name
    with connection.cursor() as cursor:
        cursor.execute(_FILL[connection.vendor], values)


def tidy() -> None:
    """Vacuum and analyze, as autovacuum would have done long before so many rows were stored.

    The checkpoint after it keeps the server from writing the rows to disk while it is measured.
    """
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE django_partisan_task")
        cursor.execute("CHECKPOINT")
