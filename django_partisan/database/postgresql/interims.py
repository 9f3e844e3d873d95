"""PostgreSQL's statement that writes what running tasks tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django_partisan.attempt import Interim
from django_partisan.database.interims import FIELDS, rows_of, upsert
from django_partisan.database.values import TASK

_TYPES: Final = {
    **dict.fromkeys(("task_id", "lease", "number"), "bigint"),
    **dict.fromkeys(("ago", "done", "total"), "float8"),
    **dict.fromkeys(("message", "checkpoint"), "text"),
    **dict.fromkeys(("version", "resumptions"), "int"),
}
_ARRAYS: Final = ", ".join(f"%s::{_TYPES[name]}[]" for name in FIELDS)
# The lock is what tells who comes first, this or a rescue.
_STATEMENT: Final = f"""WITH told AS (
    SELECT * FROM unnest({_ARRAYS}) AS o({", ".join(FIELDS)})
), held AS MATERIALIZED (
    SELECT o.* FROM (SELECT * FROM told ORDER BY task_id) o CROSS JOIN LATERAL (
        SELECT id FROM {TASK} WHERE id = o.task_id AND lease = o.lease{{which}}
    ) t
) {upsert("held", "statement_timestamp() - ago * interval '1 second'")}"""
_WAITING: Final = _STATEMENT.format(which=" AND status = 'in_process' FOR NO KEY UPDATE")
_PASSING: Final = _STATEMENT.format(which=" FOR NO KEY UPDATE SKIP LOCKED")


def interims_statement(interims: Sequence[Interim], *, waits: bool) -> tuple[str, list[Any]]:
    """Return the statement, with its parameters, that writes what tasks tell."""
    columns = zip(*rows_of(interims), strict=True)
    return _WAITING if waits else _PASSING, [list(column) for column in columns]
