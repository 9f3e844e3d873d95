"""PostgreSQL's statements that insert tasks, one alone or a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django_partisan.database.values import TASK, Batch, BatchRow

_COLUMNS = """status, queue_name, created_at, updated_at, processor_class, priority, execute_after,
    arguments, extra, unique_hash, unique_key, is_unique_until_finish"""
_ON_DUPLICATE = {
    "keep": "DO NOTHING",
    "replace": f"""DO UPDATE SET execute_after = EXCLUDED.execute_after,
        priority = EXCLUDED.priority, updated_at = EXCLUDED.updated_at
        WHERE {TASK}.status = 'new'""",
    "earlier": f"""DO UPDATE SET execute_after = EXCLUDED.execute_after,
        updated_at = EXCLUDED.updated_at
        WHERE {TASK}.status = 'new' AND {TASK}.execute_after > EXCLUDED.execute_after""",
}
# A row that DO UPDATE leaves out by its condition is locked all the same.
_HOLD = "DO UPDATE SET status = EXCLUDED.status WHERE false"
_CONFLICT = "ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL"
_INSERT = f"""INSERT INTO {TASK} ({_COLUMNS})
VALUES ('new', %s, statement_timestamp(), statement_timestamp(), %s, %s,
    COALESCE(%s::timestamptz, statement_timestamp() + %s * interval '1 second'),
    %s::jsonb, '{{}}', %s::uuid, %s::uuid, %s)"""
# A row that was inserted has never been locked or changed: its xmax is 0.
INSERT = {
    name: f"{_INSERT} {_CONFLICT} {clause} RETURNING id, created_at, execute_after, xmax = 0"
    for name, clause in _ON_DUPLICATE.items()
}

# The sequence is looked up once, by a subquery of its own, and not for each number. Now comes as a
# number: under USE_TZ = False drivers return a moment without its zone, and an hour may come twice.
RESERVE = f"""SELECT ARRAY(
    SELECT nextval((SELECT pg_get_serial_sequence('{TASK}', 'id')::regclass))
      FROM generate_series(1, %s)), extract(epoch FROM statement_timestamp())::float8"""

# All arguments travel as one JSON array: the drivers would escape an array of texts one by one.
_INSERT_BATCH = f"""INSERT INTO {TASK} (id, {_COLUMNS})
SELECT r.id, 'new', %s, %s::timestamptz, %s::timestamptz, %s, %s, %s::timestamptz,
       r.arguments, '{{}}', r.key, r.key, %s
  FROM ROWS FROM (unnest(%s::bigint[]), jsonb_array_elements(%s::jsonb), unnest(%s::uuid[]))
       AS r(id, arguments, key)"""
INSERT_BATCH = f"{_INSERT_BATCH} RETURNING id"

# In the order of the keys: of two rival batches the second then waits for the first at the first
# key that both have, and never the other way round at the next.
INSERT_UNIQUE_BATCH = {
    name: f"{_INSERT_BATCH} ORDER BY r.key {_CONFLICT} {clause} RETURNING id"
    for name, clause in {**_ON_DUPLICATE, "hold": _HOLD}.items()
}


def batch_parameters(batch: Batch, rows: Sequence[BatchRow]) -> list[Any]:
    """Return the parameters of the statements that insert a batch."""
    ids, arguments, keys = zip(*rows, strict=True)
    return [
        *batch.parameters(batch.created_at, batch.execute_after),
        f"{{{','.join(map(str, ids))}}}",
        f"[{','.join(arguments)}]",
        None if keys[0] is None else f"{{{','.join(keys)}}}",
    ]
