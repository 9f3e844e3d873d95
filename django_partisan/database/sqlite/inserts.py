"""SQLite's statements that insert tasks, one or many, and the followers of repeats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django_partisan.database.optional_columns import Columns, columns_of, replacing
from django_partisan.database.sqlite.moments import (
    FORMAT,
    NOW,
    moment_of,
    seconds_from_now,
    text_of,
)
from django_partisan.database.values import (
    LABELS,
    TASK,
    Batch,
    BatchRow,
    Follower,
    Link,
    Membership,
    NewTask,
)

_ON_DUPLICATE = {
    "keep": "DO NOTHING",
    "replace": """DO UPDATE SET execute_after = excluded.execute_after,
        priority = excluded.priority, arguments = excluded.arguments,
        expires_at = excluded.expires_at,
        updated_at = excluded.updated_at WHERE status = 'new'""",
    "earlier": """DO UPDATE SET execute_after = excluded.execute_after,
        updated_at = excluded.updated_at
        WHERE status = 'new' AND execute_after > excluded.execute_after""",
    # What has been tried before keeps its time, which is that of a retry or a postpone.
    "debounce": """DO UPDATE SET arguments = excluded.arguments, priority = excluded.priority,
        execute_after = CASE WHEN attempts > 0 OR postpones > 0 THEN execute_after
            ELSE min(excluded.execute_after, COALESCE(debounce_until, excluded.debounce_until)) END,
        debounce_until = COALESCE(debounce_until, excluded.debounce_until),
        expires_at = excluded.expires_at,
        updated_at = excluded.updated_at WHERE status = 'new'""",
}
_CONFLICT = "ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL"
_COLUMNS = """status, queue_name, created_at, updated_at, processor_class, priority, execute_after,
    arguments, extra, unique_hash, unique_key, is_unique_until_finish"""
_DUE = f"COALESCE(%s, {seconds_from_now('%s')})"
_VALUES = f"'new', %s, {NOW}, {NOW}, %s, %s, {_DUE}, %s, '{{}}', %s, %s, %s"
# Counted from the moment at which the task is due, and not before it is stored.
_EXPIRES_AT = f"""COALESCE(%s, strftime({FORMAT}, max({NOW}, {_DUE}),
    printf('%%+.3f seconds', %s)))"""
# Of a model's label, and of the primary key as the first of these arguments.
_OBJECT_KEY = "%s || ':' || json_extract({}, '$.args[0]')"
# What only some tasks have, by the field of NewTask or Batch: a value for each column.
_ALIKE: dict[str, Columns] = {
    "blocked_by": {"blocked_by": "%s"},
    "flow": {"flow_id": "%s", "has_dependents": "%s"},
    **{name: {name: "%s"} for name in ("unique_for_seconds", *LABELS)},
}
_MORE: dict[str, Columns] = {
    "repeat": {"repeat_seconds": "%s", "repeat_until": "%s", "repeat_slot": _DUE},
    "expiry": {"expires_at": _EXPIRES_AT},
    "debounce_max_seconds": {"debounce_until": seconds_from_now("%s")},
    "object_label": {"object_key": _OBJECT_KEY.format("%s")},
    **_ALIKE,
}
_MORE_OF_BATCH: dict[str, Columns] = {
    "repeat": {"repeat_seconds": "%s", "repeat_until": "%s", "repeat_slot": "%s"},
    "expires_at": {"expires_at": "%s"},
    "debounce_until": {"debounce_until": "%s"},
    "object_label": {"object_key": _OBJECT_KEY.format("json_extract(value, '$[1]')")},
    **_ALIKE,
}


@cache
def _insert(on_duplicate: str, more: tuple[str, ...]) -> str:
    columns = columns_of(_MORE, more)
    names, values = (
        ", ".join(each)
        for each in ([_COLUMNS, *columns], [_values(_VALUES, more), *columns.values()])
    )
    source = f"VALUES ({values})"
    if on_duplicate != "keep":
        # Changes what is there and inserts nothing: RETURNING does not tell the two apart.
        source = f"SELECT {values} WHERE EXISTS (SELECT 1 FROM {TASK} WHERE unique_key = %s)"
    return f"""INSERT INTO {TASK} ({names}) {source}
{_CONFLICT} {replacing(_ON_DUPLICATE[on_duplicate], on_duplicate, columns)}
RETURNING id, created_at, execute_after{", expires_at" * ("expires_at" in columns)}"""


@cache
def _insert_batch(on_duplicate: str, more: tuple[str, ...]) -> str:
    columns = columns_of(_MORE_OF_BATCH, more)
    # WHERE true: else SQLite takes ON CONFLICT for the condition of a join.
    return f"""INSERT INTO {TASK} ({", ".join(["id", _COLUMNS, *columns])})
SELECT {", ".join([_values(_BATCH_VALUES, more), *columns.values()])} FROM json_each(%s) WHERE true
{_CONFLICT} {replacing(_ON_DUPLICATE[on_duplicate], on_duplicate, columns)} RETURNING id"""


def _values(values: str, more: tuple[str, ...]) -> str:
    return values.replace("'new'", "'waiting'", 1) if "blocked_by" in more else values


# The counter of AUTOINCREMENT has no row before the table's first one. Both statements write, so
# that from the first of them on nobody else does.
RESERVE = f"""UPDATE sqlite_sequence SET seq = seq + %s WHERE name = '{TASK}'
RETURNING seq, {NOW}"""
RESERVE_FIRST = f"""INSERT INTO sqlite_sequence (name, seq)
SELECT '{TASK}', COALESCE(max(id), 0) + %s FROM {TASK} RETURNING seq, {NOW}"""

_BATCH_VALUES = """json_extract(value, '$[0]'), 'new', %s, %s, %s, %s, %s, %s,
       json_extract(value, '$[1]'), '{}', json_extract(value, '$[2]'),
       json_extract(value, '$[2]'), %s"""
LINKS = f"""SELECT id, queue_name, COALESCE(repeat_slot, execute_after) || '', repeat_seconds,
       repeat_until || '', cancel_requested_at IS NOT NULL
  FROM {TASK}
 WHERE id IN (SELECT value FROM json_each(%s)) AND status = 'finished'
   AND repeat_seconds IS NOT NULL
 ORDER BY id"""
INSERT_FOLLOWERS = f"""INSERT INTO {TASK} (id, {_COLUMNS}, {", ".join(_MORE["repeat"])},
    expires_at, {", ".join(LABELS)}, object_key)
SELECT f.id, 'new', t.queue_name, {NOW}, {NOW}, t.processor_class, t.priority, f.slot,
       t.arguments, '{{}}', t.unique_hash, t.unique_hash, t.is_unique_until_finish,
       t.repeat_seconds, t.repeat_until, f.slot,
       strftime({FORMAT}, julianday(f.slot) + julianday(t.expires_at)
            - julianday(COALESCE(t.repeat_slot, t.execute_after))),
       {", ".join(f"t.{label}" for label in LABELS)}, t.object_key
  FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS link_id,
               json_extract(value, '$[2]') AS slot FROM json_each(%s)) f
  JOIN {TASK} t ON t.id = f.link_id WHERE true {_CONFLICT} DO NOTHING RETURNING id"""


def insert_statement(task: NewTask, on_duplicate: str) -> tuple[str, list[Any]]:
    """Return the statement that inserts a task, or does with a duplicate what is to be done."""
    due_at, more = _text_or_none(task.due_at), task.more()
    parameters = task.parameters(due_at)
    for name, value in more.items():
        parameters += _parameters_of(name, value, [due_at, task.delay_seconds], [task.arguments])
    if on_duplicate != "keep":
        parameters.append(task.unique_hash)
    return _insert(on_duplicate, tuple(more)), parameters


def batch_statement(
    batch: Batch, rows: Sequence[BatchRow], on_duplicate: str
) -> tuple[str, list[Any]]:
    """Return the statement that inserts many tasks at once."""
    moments, more = (text_of(batch.created_at), text_of(batch.execute_after)), batch.more()
    parameters = batch.parameters(*moments)
    for name, value in more.items():
        parameters += _parameters_of(name, value, [moments[1]], [])
    return _insert_batch(on_duplicate, tuple(more)), [*parameters, json.dumps(rows)]


def _parameters_of(name: str, value: Any, due: list[Any], arguments: list[str]) -> list[Any]:
    """Return the parameters of what only some tasks have, with those of due time and arguments."""
    match name:
        case "repeat":
            return [value.seconds, _text_or_none(value.until), *due]
        case "expiry":
            return [_text_or_none(value.at), *due, value.seconds]
        case "expires_at" | "debounce_until":
            return [text_of(value)]
        case "tags":
            return [json.dumps(value)]
        case "object_label":
            return [value, *arguments]
    return [*value] if isinstance(value, Membership) else [value]


def links_of(rows: Iterable[Sequence[Any]]) -> list[Link]:
    """Return what LINKS found."""
    return [
        Link(pk, queue_name, moment_of(slot), seconds, until and moment_of(until), bool(is_last))
        for pk, queue_name, slot, seconds, until, is_last in rows
    ]


def follower_rows(followers: Sequence[Follower]) -> str:
    """Return the parameter of INSERT_FOLLOWERS."""
    return json.dumps([(each.id, each.link_id, text_of(each.slot)) for each in followers])


def _text_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else text_of(moment)
