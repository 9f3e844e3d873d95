"""PostgreSQL's statements that continue chains of repeats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django_partisan.database.postgresql.statements import array
from django_partisan.database.values import LABELS, TASK, Follower, Link

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _microseconds(column: str) -> str:
    # As numbers: under USE_TZ = False drivers return moments without their zone.
    return f"(extract(epoch FROM {column}) * 1000000)::bigint"


LINKS = f"""SELECT id, queue_name, {_microseconds("COALESCE(repeat_slot, execute_after)")},
       repeat_seconds, {_microseconds("repeat_until")}, cancel_requested_at IS NOT NULL
  FROM {TASK}
 WHERE id = ANY (%s::bigint[]) AND status = 'finished' AND repeat_seconds IS NOT NULL
 ORDER BY id"""
INSERT_FOLLOWERS = f"""INSERT INTO {TASK} (id, status, queue_name, created_at, updated_at,
    processor_class, priority, execute_after, arguments, extra, unique_hash, unique_key,
    is_unique_until_finish, repeat_seconds, repeat_until, repeat_slot, expires_at,
    {", ".join(LABELS)}, object_key)
SELECT f.id, 'new', t.queue_name, statement_timestamp(), statement_timestamp(),
       t.processor_class, t.priority, f.slot, t.arguments, '{{}}', t.unique_hash, t.unique_hash,
       t.is_unique_until_finish, t.repeat_seconds, t.repeat_until, f.slot,
       f.slot + (t.expires_at - COALESCE(t.repeat_slot, t.execute_after)),
       {", ".join(f"t.{label}" for label in LABELS)}, t.object_key
  FROM (SELECT id, link_id, timestamptz 'epoch' + slot * interval '1 microsecond' AS slot
          FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS u(id, link_id, slot)) f
  JOIN {TASK} t ON t.id = f.link_id
 ORDER BY f.id
    ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING RETURNING id"""


def links_of(rows: Iterable[Sequence[Any]]) -> list[Link]:
    """Return what LINKS found."""
    return [
        Link(pk, queue_name, _moment(slot), seconds, _moment(until) if until else None, is_last)
        for pk, queue_name, slot, seconds, until, is_last in rows
    ]


def follower_arrays(followers: Sequence[Follower]) -> list[str]:
    """Return the parameters of INSERT_FOLLOWERS."""
    return [
        array(follower.id for follower in followers),
        array(follower.link_id for follower in followers),
        array((each.slot - _EPOCH) // timedelta(microseconds=1) for each in followers),
    ]


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
