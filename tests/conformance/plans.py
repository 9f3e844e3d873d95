"""Asks the database how it runs the statements of the dialects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

TABLE = "django_partisan_task"
Node = dict[str, Any]

_FILL = f"""INSERT INTO {TABLE} (status, queue_name, created_at, updated_at, processor_class,
    priority, execute_after, arguments, extra, lease, manager_id)
SELECT %s, %s, now(), now(), 'tests.support.processors.Plain', %s + n %% %s,
    now() + %s * interval '1 second' + n * interval '1 microsecond', '{{}}', '{{}}', 1, 1
  FROM generate_series(1, %s) n"""


def fill(
    count: int,
    *,
    status: str = "new",
    queue: str = "default",
    priority: int = 10,
    priorities: int = 1,
    due_in: float = -3600,
) -> None:
    """Insert many rows on PostgreSQL, spread over some priorities."""
    with connection.cursor() as cursor:
        cursor.execute(_FILL, [status, queue, priority, priorities, due_in, count])


def drain() -> None:
    """Delete all rows, which leaves their pages behind."""
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {TABLE}")


def analyze() -> None:
    """Let the planner know what the table holds."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {TABLE}")


def plan_of(action: Callable[[], object], number: int = 0) -> list[Node]:
    """Return the nodes by which PostgreSQL ran a statement of an action, undone after."""
    sql, parameters = _statement(action, number)
    with _undone(), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", parameters)
        answer = cursor.fetchone()[0]
    plan = json.loads(answer) if isinstance(answer, str) else answer
    return list(_flattened(plan[0]["Plan"]))


def sqlite_plan_of(action: Callable[[], object], number: int = 0) -> str:
    """Return how SQLite would run a statement of an action."""
    sql, parameters = _statement(action, number)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
        return "\n".join(row[3] for row in cursor.fetchall())


def indexes_in(plan: list[Node]) -> set[str]:
    """Return the names of the indexes that a plan uses on the table of tasks."""
    names = {node["Index Name"] for node in plan if "Index Name" in node}
    return {name for name in names if "_pause_" not in name}


def buffers(plan: list[Node]) -> int:
    """Return how many pages the scans of the ready index touched: dead entries cost pages too."""
    return sum(
        node["Shared Hit Blocks"] + node["Shared Read Blocks"]
        for node in plan
        if node.get("Index Name") == "partisan_task_claimable"
    )


@contextmanager
def open_snapshot() -> Iterator[None]:
    """Hold a transaction open elsewhere, so that nothing dead can be cleaned up."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_begin).result()
        try:
            yield
        finally:
            thread.submit(_end).result()


def _begin() -> None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(f"SELECT count(*) FROM {TABLE} WHERE false")


def _end() -> None:
    # Looked up here: the thread's own connection, not the one of who asks.
    connection.close()


def rows_read(plan: list[Node]) -> int:
    """Return how many rows all scans of the table looked at, those they dropped included."""
    scans = [
        node for node in plan if node.get("Relation Name") == TABLE and "Scan" in node["Node Type"]
    ]
    dropped = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    return sum(
        (node["Actual Rows"] + sum(node.get(key, 0) for key in dropped)) * node["Actual Loops"]
        for node in scans
    )


def sequential_scans(plan: list[Node], table: str = TABLE) -> list[Node]:
    """Return the nodes that read a whole table, or would if they had to."""
    return [
        node
        for node in plan
        if node["Node Type"] == "Seq Scan" and node.get("Relation Name") == table
    ]


def _statement(action: Callable[[], object], number: int) -> tuple[str, Any]:
    seen: list[tuple[str, Any]] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        seen.append((sql, params))
        return execute(sql, params, *rest)

    with _undone(), connection.execute_wrapper(note):
        action()
    # Of a prepared statement, EXPLAIN tells the plan that is kept.
    is_ours = (TABLE, "EXECUTE partisan_")
    return [seen_one for seen_one in seen if any(part in seen_one[0] for part in is_ours)][number]


@contextmanager
def _undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _flattened(node: Node) -> Iterator[Node]:
    yield node
    for child in node.get("Plans", ()):
        yield from _flattened(child)
