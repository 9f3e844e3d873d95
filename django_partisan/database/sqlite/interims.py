"""SQLite's statement that writes what running tasks tell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from django_partisan.attempt import Interim
from django_partisan.database.interims import FIELDS, rows_of, upsert
from django_partisan.database.sqlite.moments import seconds_from_now
from django_partisan.database.values import TASK

_FIELDS: Final = ", ".join(
    f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(FIELDS)
)
# Without a WHERE, the ON of what follows would belong to a join.
_STATEMENT: Final = upsert(
    f"""(SELECT {_FIELDS} FROM json_each(%s)) AS o WHERE EXISTS (
    SELECT 1 FROM {TASK} t WHERE t.id = o.task_id AND t.lease = o.lease{{which}})""",
    seconds_from_now("-ago"),
)
_WAITING: Final = _STATEMENT.format(which=" AND t.status = 'in_process'")
_PASSING: Final = _STATEMENT.format(which="")


def interims_statement(interims: Sequence[Interim], *, waits: bool) -> tuple[str, list[Any]]:
    """Return the statement, with its parameters, that writes what tasks tell."""
    return _WAITING if waits else _PASSING, [json.dumps(rows_of(interims))]
