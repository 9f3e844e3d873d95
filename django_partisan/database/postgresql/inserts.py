"""PostgreSQL's statements that insert tasks, one alone or a batch of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from django_partisan.database.optional_columns import Columns, columns_of, replacing
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
# Of a model's label, and of the primary key as the first of these arguments.
_OBJECT_KEY = "%s::text || ':' || ({} #>> ARRAY['args', '0'])"
# What only some tasks have, by the field of NewTask or Batch: a value for each column. The
# statement for all others does not name them, and costs no more.
_ALIKE: dict[str, Columns] = {
    "blocked_by": {"blocked_by": "%s"},
    "flow": {"flow_id": "%s", "has_dependents": "%s"},
    "unique_for_seconds": {"unique_for_seconds": "%s"},
    "verbose_name": {"verbose_name": "%s"},
    "creator_key": {"creator_key": "%s"},
    "tags": {"tags": "%s::jsonb"},
}
_MORE: dict[str, Columns] = {
    "repeat": {"repeat_seconds": "%s", "repeat_until": "%s::timestamptz", "repeat_slot": _DUE},
    "expiry": {"expires_at": _EXPIRES_AT},
    "debounce_max_seconds": {
        "debounce_until": "statement_timestamp() + %s * interval '1 second'",
    },
    "object_label": {"object_key": _OBJECT_KEY.format("%s::jsonb")},
    **_ALIKE,
}
_MORE_OF_BATCH: dict[str, Columns] = {
    "repeat": {
        "repeat_seconds": "%s",
        "repeat_until": "%s::timestamptz",
        "repeat_slot": "%s::timestamptz",
    },
    "expires_at": {"expires_at": "%s::timestamptz"},
    "debounce_until": {"debounce_until": "%s::timestamptz"},
    "object_label": {"object_key": _OBJECT_KEY.format("r.arguments")},
    **_ALIKE,
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
    parameters, more = task.parameters(task.due_at), task.more()
    for name, value in more.items():
        due = [task.due_at, task.delay_seconds]
        parameters += _parameters_of(name, value, due, [task.arguments])
    return _insert(on_duplicate, tuple(more)), parameters


def batch_statement(batch: Batch, rows: Sequence[BatchRow], action: str) -> tuple[str, list[Any]]:
    """Return the statement that inserts a batch, and its parameters.

    ``action`` is what happens to duplicates: as ``on_duplicate``, or 'hold' to lock them.
    """
    more, parameters = batch.more(), list[Any]()
    for name, value in more.items():
        parameters += _parameters_of(name, value, [batch.execute_after], [])
    is_unique = rows[0].unique_hash is not None
    statement = _insert_batch(action if is_unique else None, tuple(more))
    return statement, _batch_parameters(batch, rows, parameters)


def _parameters_of(name: str, value: Any, due: list[Any], arguments: list[str]) -> list[Any]:
    """Return the parameters of what only some tasks have, with those of due time and arguments."""
    match name:
        case "repeat":
            return [*value, *due]
        case "expiry":
            return [value.at, *due, value.seconds]
        case "flow":
            return [*value]
        case "tags":
            return [json.dumps(value)]
        case "object_label":
            return [value, *arguments]
    return [value]


@cache
def _insert(on_duplicate: str, more: tuple[str, ...]) -> str:
    columns = columns_of(_MORE, more)
    names, values = (
        ", ".join(each)
        for each in ([_COLUMNS, *columns], [_values(_VALUES, more), *columns.values()])
    )
    # A row that was inserted has never been locked or changed: its xmax is 0.
    return f"""INSERT INTO {TASK} ({names}) VALUES ({values})
{_CONFLICT} {replacing(_ON_DUPLICATE[on_duplicate], on_duplicate, columns)}
RETURNING id, created_at, execute_after, xmax = 0{", expires_at" * ("expires_at" in columns)}"""


@cache
def _insert_batch(action: str | None, more: tuple[str, ...]) -> str:
    """Return the statement for a batch; ``action`` is None for tasks without keys.

    In the order of the keys: of two rival batches the second then waits for the first at the first
    key that both have, and never the other way round at the next.
    """
    columns = columns_of(_MORE_OF_BATCH, more)
    # All arguments travel as one JSON array: drivers would escape an array of texts one by one.
    inserted = f"""INSERT INTO {TASK} ({", ".join(["id", _COLUMNS, *columns])})
SELECT {", ".join([_values(_BATCH_VALUES, more), *columns.values()])}
  FROM ROWS FROM (unnest(%s::bigint[]), jsonb_array_elements(%s::jsonb), unnest(%s::uuid[]))
       AS r(id, arguments, key)"""
    if action is None:
        return f"{inserted} RETURNING id"
    on_conflict = replacing(_ON_DUPLICATE[action], action, columns)
    return f"{inserted} ORDER BY r.key {_CONFLICT} {on_conflict} RETURNING id"


def _values(values: str, more: tuple[str, ...]) -> str:
    return values.replace("'new'", "'waiting'", 1) if "blocked_by" in more else values


def _batch_parameters(batch: Batch, rows: Sequence[BatchRow], more: Sequence[Any]) -> list[Any]:
    ids, arguments, keys = zip(*rows, strict=True)
    return [
        *batch.parameters(batch.created_at, batch.execute_after),
        *more,
        f"{{{','.join(map(str, ids))}}}",
        f"[{','.join(arguments)}]",
        None if keys[0] is None else f"{{{','.join(keys)}}}",
    ]
