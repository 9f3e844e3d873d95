"""PostgreSQL's statements that insert tasks, one alone or a batch of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from django_partisan.database.values import TASK, Batch, BatchRow, NewTask

_COLUMNS = """status, queue_name, created_at, updated_at, processor_class, priority, execute_after,
    arguments, extra, unique_hash, unique_key, is_unique_until_finish"""
_ON_DUPLICATE = {
    "keep": "DO NOTHING",
    "replace": f"""DO UPDATE SET execute_after = EXCLUDED.execute_after,
        priority = EXCLUDED.priority, arguments = EXCLUDED.arguments,
        expires_at = EXCLUDED.expires_at, updated_at = EXCLUDED.updated_at
        WHERE {TASK}.status = 'new'""",
    "earlier": f"""DO UPDATE SET execute_after = EXCLUDED.execute_after,
        updated_at = EXCLUDED.updated_at
        WHERE {TASK}.status = 'new' AND {TASK}.execute_after > EXCLUDED.execute_after""",
    # What has been tried before keeps its time, which is that of a retry or a postpone.
    "debounce": f"""DO UPDATE SET arguments = EXCLUDED.arguments, priority = EXCLUDED.priority,
        execute_after = CASE WHEN {TASK}.attempts > 0 OR {TASK}.postpones > 0
            THEN {TASK}.execute_after
            ELSE LEAST(EXCLUDED.execute_after, {TASK}.debounce_until) END,
        debounce_until = COALESCE({TASK}.debounce_until, EXCLUDED.debounce_until),
        expires_at = EXCLUDED.expires_at, updated_at = EXCLUDED.updated_at
        WHERE {TASK}.status = 'new'""",
    # A row that DO UPDATE leaves out by its condition is locked all the same.
    "hold": "DO UPDATE SET status = EXCLUDED.status WHERE false",
}
_CONFLICT = "ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL"
_DUE = "COALESCE(%s::timestamptz, statement_timestamp() + %s * interval '1 second')"
_VALUES = f"""'new', %s, statement_timestamp(), statement_timestamp(), %s, %s, {_DUE},
    %s::jsonb, '{{}}', %s::uuid, %s::uuid, %s"""
# Counted from the moment at which the task is due, and not before it is stored.
_EXPIRES_AT = f"""COALESCE(%s::timestamptz, GREATEST(statement_timestamp(), {_DUE})
        + %s * interval '1 second')"""
# What only some tasks have: a value for each column. The statement for all others does not name
# them, and costs no more.
_MORE: dict[str, dict[str, str]] = {
    "repeat": {"repeat_seconds": "%s", "repeat_until": "%s::timestamptz", "repeat_slot": _DUE},
    "expiry": {"expires_at": _EXPIRES_AT},
    "blocked": {"blocked_by": "%s"},
    "flow": {"flow_id": "%s", "has_dependents": "%s"},
    "throttle": {"unique_for_seconds": "%s"},
    "debounce": {"debounce_until": "statement_timestamp() + %s * interval '1 second'"},
}
_MORE_OF_BATCH: dict[str, dict[str, str]] = {
    "repeat": {
        "repeat_seconds": "%s",
        "repeat_until": "%s::timestamptz",
        "repeat_slot": "%s::timestamptz",
    },
    "expiry": {"expires_at": "%s::timestamptz"},
    "blocked": {"blocked_by": "%s"},
    "flow": {"flow_id": "%s", "has_dependents": "%s"},
    "throttle": {"unique_for_seconds": "%s"},
    "debounce": {"debounce_until": "%s::timestamptz"},
}

# The sequence is looked up once, by a subquery of its own, and not for each number. Now comes as a
# number: under USE_TZ = False drivers return a moment without its zone, and an hour may come twice.
RESERVE = f"""SELECT ARRAY(
    SELECT nextval((SELECT pg_get_serial_sequence('{TASK}', 'id')::regclass))
      FROM generate_series(1, %s)), extract(epoch FROM statement_timestamp())::float8"""

_BATCH_VALUES = """r.id, 'new', %s, %s::timestamptz, %s::timestamptz, %s, %s, %s::timestamptz,
       r.arguments, '{}', r.key, r.key, %s"""


def insert_statement(task: NewTask, on_duplicate: str) -> tuple[str, list[Any]]:
    """Return the statement that inserts a task, and its parameters."""
    parameters = task.parameters(task.due_at)
    if task.repeat is not None:
        parameters += [*task.repeat, task.due_at, task.delay_seconds]
    if task.expiry is not None:
        at, seconds = task.expiry
        parameters += [at, task.due_at, task.delay_seconds, seconds]
    parameters += task.last_parameters()
    return _insert(on_duplicate, task.more()), parameters


def batch_statement(batch: Batch, rows: Sequence[BatchRow], action: str) -> tuple[str, list[Any]]:
    """Return the statement that inserts a batch, and its parameters.

    ``action`` is what happens to duplicates: as ``on_duplicate``, or 'hold' to lock them.
    """
    more: list[Any] = []
    if batch.repeat is not None:
        more += [*batch.repeat, batch.execute_after]
    if batch.expires_at is not None:
        more.append(batch.expires_at)
    more += batch.last_parameters(batch.debounce_until)
    is_unique = rows[0].unique_hash is not None
    statement = _insert_batch(action if is_unique else None, batch.more())
    return statement, _batch_parameters(batch, rows, more)


@cache
def _insert(on_duplicate: str, more: tuple[str, ...]) -> str:
    columns = _columns(_MORE, more)
    names, values = (
        ", ".join(each)
        for each in ([_COLUMNS, *columns], [_values(_VALUES, more), *columns.values()])
    )
    # A row that was inserted has never been locked or changed: its xmax is 0.
    return f"""INSERT INTO {TASK} ({names}) VALUES ({values})
{_CONFLICT} {_action(on_duplicate, columns)}
RETURNING id, created_at, execute_after, xmax = 0{", expires_at" * ("expires_at" in columns)}"""


@cache
def _insert_batch(action: str | None, more: tuple[str, ...]) -> str:
    """Return the statement for a batch; ``action`` is None for tasks without keys.

    In the order of the keys: of two rival batches the second then waits for the first at the first
    key that both have, and never the other way round at the next.
    """
    columns = _columns(_MORE_OF_BATCH, more)
    # All arguments travel as one JSON array: drivers would escape an array of texts one by one.
    inserted = f"""INSERT INTO {TASK} ({", ".join(["id", _COLUMNS, *columns])})
SELECT {", ".join([_values(_BATCH_VALUES, more), *columns.values()])}
  FROM ROWS FROM (unnest(%s::bigint[]), jsonb_array_elements(%s::jsonb), unnest(%s::uuid[]))
       AS r(id, arguments, key)"""
    if action is None:
        return f"{inserted} RETURNING id"
    return f"{inserted} ORDER BY r.key {_CONFLICT} {_action(action, columns)} RETURNING id"


def _values(values: str, more: tuple[str, ...]) -> str:
    return values.replace("'new'", "'waiting'", 1) if "blocked" in more else values


def _columns(values: dict[str, dict[str, str]], more: tuple[str, ...]) -> dict[str, str]:
    return {column: value for kind in more for column, value in values[kind].items()}


def _action(on_duplicate: str, columns: Iterable[str]) -> str:
    """Return what happens to a duplicate; what replaces it gives it its own of these columns."""
    # What replaces a task without an expiry has none either: the action itself says so.
    replaced = [column for column in columns if column != "expires_at"]
    given = {"replace": replaced, "earlier": [c for c in columns if c == "repeat_slot"]}
    also = "".join(f" {column} = EXCLUDED.{column}," for column in given.get(on_duplicate, ()))
    return _ON_DUPLICATE[on_duplicate].replace("DO UPDATE SET", f"DO UPDATE SET{also}", 1)


def _batch_parameters(batch: Batch, rows: Sequence[BatchRow], more: Sequence[Any]) -> list[Any]:
    ids, arguments, keys = zip(*rows, strict=True)
    return [
        *batch.parameters(batch.created_at, batch.execute_after),
        *more,
        f"{{{','.join(map(str, ids))}}}",
        f"[{','.join(arguments)}]",
        None if keys[0] is None else f"{{{','.join(keys)}}}",
    ]
