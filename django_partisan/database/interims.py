"""What every dialect's statement has in common that writes what running tasks tell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from django_partisan.attempt import Interim
from django_partisan.database.values import PROGRESS

FIELDS: Final = (
    "task_id",
    "lease",
    "ago",
    "done",
    "total",
    "message",
    "number",
    "checkpoint",
    "version",
    "resumptions",
)
"""What the statement is told of each, in this order; ``ago`` is in seconds."""
_TOLD: Final = "excluded.done IS NOT NULL"
# A checkpoint that came by another way may have overtaken this one.
_NEWER: Final = (
    "excluded.checkpoint IS NOT NULL AND (p.lease <> excluded.lease OR p.number < excluded.number)"
)


def rows_of(interims: Sequence[Interim]) -> list[tuple[Any, ...]]:
    """Return what the statement is told, with moments counted from now."""
    now = time.monotonic()
    return [
        (one.task_id, one.lease, max(0.0, now - one.at), *one[3:])
        for one in sorted(interims, key=lambda one: one.task_id)
    ]


def upsert(source: str, moment: str) -> str:
    """Return a statement that writes rows with FIELDS, in ``source``, over what was told before.

    ``moment`` is the expression of the moment so long ``ago``.
    """
    kept = [
        *(f"{name} = {_either(_TOLD, name)}" for name in ("done", "total", "message")),
        f"progressed_at = {_either(_TOLD, 'progressed_at')}",
        (
            f"number = CASE WHEN {_NEWER} THEN excluded.number"
            " WHEN p.lease = excluded.lease THEN p.number ELSE 0 END"
        ),
        *(
            f"{name} = {_either(_NEWER, name)}"
            for name in ("checkpoint", "schema_version", "resumptions", "checkpointed_at")
        ),
        "lease = excluded.lease",
    ]
    return f"""INSERT INTO {PROGRESS} AS p (task_id, lease, done, total, message, progressed_at,
       number, checkpoint, schema_version, resumptions, checkpointed_at)
SELECT task_id, lease, done, total, message, CASE WHEN done IS NOT NULL THEN {moment} END,
       CASE WHEN checkpoint IS NULL THEN 0 ELSE number END, checkpoint, version, resumptions,
       CASE WHEN checkpoint IS NOT NULL THEN {moment} END
  FROM {source}
    ON CONFLICT (task_id) DO UPDATE SET {", ".join(kept)}
RETURNING task_id"""


def _either(condition: str, name: str) -> str:
    return f"CASE WHEN {condition} THEN excluded.{name} ELSE p.{name} END"
