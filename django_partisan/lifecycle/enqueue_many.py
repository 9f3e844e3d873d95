"""Enqueueing of a whole batch by few statements, with its duplicates found on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from datetime import datetime, timedelta
from functools import partial
from itertools import repeat
from operator import attrgetter
from typing import Final

from django.db import connections, transaction

from django_partisan.database import dialect_for
from django_partisan.database.values import Batch, BatchRow, Expiry, NewTask
from django_partisan.exceptions import DuplicateNotVisible
from django_partisan.lifecycle.conflicts import tried_again
from django_partisan.lifecycle.expiry import expire, expired_among
from django_partisan.lifecycle.instances import inserted_instances
from django_partisan.lifecycle.notifications import announce
from django_partisan.lifecycle.rows import database, task_rows
from django_partisan.lifecycle.telling import tell_enqueued
from django_partisan.lifecycle.uniqueness import let_go
from django_partisan.models import Task
from django_partisan.payloads.encoding import size_in_bytes

CHUNK_ROWS: Final = 5_000
"""One statement inserts at most so many tasks."""
_FIRST_COUNTS: Final = frozenset({"keep", "earlier"})
"""What leaves the arguments of a waiting task as they are; else those of its last duplicate win."""
CHUNK_BYTES: Final = 4 * 2**20
"""One statement carries at most so many bytes of arguments, or a single task."""


def enqueue_many(
    template: NewTask, arguments: Sequence[str], keys: Sequence[str] | None, on_duplicate: str
) -> list[Task]:
    """Store a task for each of ``arguments`` in the caller's transaction; return them in order.

    What the tasks have in common is in the template; ``keys`` are their unique hashes, None when
    they are not unique. Where a key comes twice, or a task waits under it already, that task is
    returned. Nothing is stored when anything fails. Tasks of one batch are due at the same moment
    and have ascending ids, so they run in the order in which they were given.
    """
    if not arguments:
        return []
    if keys is None:
        return _stored(template, list(zip(arguments, repeat(None))), on_duplicate)
    distinct = dict(zip(keys, arguments, strict=True))
    if len(distinct) < len(keys) and on_duplicate in _FIRST_COUNTS:
        distinct = dict(zip(reversed(keys), reversed(arguments), strict=True))
        distinct = {key: distinct[key] for key in dict.fromkeys(keys)}
    tasks = _stored(template, [(text, key) for key, text in distinct.items()], on_duplicate)
    task_of = dict(zip(distinct, tasks, strict=True))
    if len(distinct) == len(keys):
        return tasks
    return list(_with_repeated(task_of, keys))


def insert_rows(alias: str, template: NewTask, now: datetime, rows: Sequence[BatchRow]) -> None:
    """Insert tasks without keys under ids that were reserved, in the transaction that is open.

    What they have in common is in the template; ``now`` is when their ids were reserved.
    """
    batch = _batch(template, now)
    for chunk in _chunks(rows):
        dialect_for(alias).insert_many(
            connections[alias], batch, chunk, "keep", hold_duplicates=False
        )


def _with_repeated(task_of: dict[str, Task], keys: Sequence[str]) -> Iterator[Task]:
    """Yield the task of each key; a copy that is a duplicate where a key comes again."""
    seen = set()
    for key in keys:
        task = task_of[key]
        if key in seen:
            task = copy(task)
            task.was_duplicate = True
        seen.add(key)
        yield task


def _stored(
    template: NewTask, values: Sequence[tuple[str, str | None]], on_duplicate: str
) -> list[Task]:
    alias = database()
    unique = None if values[0][1] is None else template.processor_class
    work = partial(_stored_at_once, alias, template, values, on_duplicate)
    tasks = tried_again(alias, work, unique=unique)
    tell_enqueued(tasks)
    return tasks


def _stored_at_once(
    alias: str, template: NewTask, values: Sequence[tuple[str, str | None]], on_duplicate: str
) -> list[Task]:
    with transaction.atomic(using=alias):
        ids, now = dialect_for(alias).reserve(connections[alias], len(values))
        batch = _batch(template, now)
        rows = [BatchRow(pk, *value) for pk, value in zip(ids, values, strict=True)]
        found: dict[int, Task] = {}
        for chunk in _chunks(_in_key_order(rows)):
            found.update(_insert(alias, batch, chunk, on_duplicate))
        # Registered once, however many chunks there are, and sent after the commit.
        announce(alias, template.queue_name)
    return [found[row.id] for row in rows]


def _batch(template: NewTask, now: datetime) -> Batch:
    due_at = template.due_at or now + timedelta(seconds=template.delay_seconds)
    return Batch(
        processor_class=template.processor_class,
        queue_name=template.queue_name,
        priority=template.priority,
        created_at=now,
        execute_after=due_at,
        is_unique_until_finish=template.is_unique_until_finish,
        repeat=template.repeat,
        expires_at=_expiry(template, max(now, due_at)),
        blocked_by=template.blocked_by,
        flow=template.flow,
        unique_for_seconds=template.unique_for_seconds,
        debounce_until=None
        if template.debounce_max_seconds is None
        else now + timedelta(seconds=template.debounce_max_seconds),
        verbose_name=template.verbose_name,
        creator_key=template.creator_key,
        tags=template.tags,
        object_label=template.object_label,
    )


def _expiry(template: NewTask, starts_at: datetime) -> datetime | None:
    match template.expiry:
        case Expiry(seconds=float(seconds)):
            return starts_at + timedelta(seconds=seconds)
        case Expiry(at=at):
            return at
    return None


def _in_key_order(rows: list[BatchRow]) -> list[BatchRow]:
    """Return the rows in the one order in which all batches take their keys: no deadlocks."""
    return rows if rows[0].unique_hash is None else sorted(rows, key=attrgetter("unique_hash"))


def _chunks(rows: Sequence[BatchRow]) -> Iterator[list[BatchRow]]:
    chunk: list[BatchRow] = []
    room = CHUNK_BYTES
    for row in rows:
        size = size_in_bytes(row.arguments)
        if chunk and (size > room or len(chunk) == CHUNK_ROWS):
            yield chunk
            chunk, room = [], CHUNK_BYTES
        chunk.append(row)
        room -= size
    yield chunk


def _insert(alias: str, batch: Batch, rows: list[BatchRow], on_duplicate: str) -> dict[int, Task]:
    """Insert the rows or find their duplicates; return the tasks by the rows' reserved ids.

    A duplicate may be claimed before it was read, which frees its key, or turn out to keep others
    out no longer. Taking that key now would break the order of the keys, so the rows are given up,
    and the next try holds duplicates.
    """
    for is_held in (False, True, True):
        try:
            with transaction.atomic(using=alias):
                return _inserted_or_found(alias, batch, rows, on_duplicate, is_held)
        except _DuplicateGoneError as gone:
            # Rolled back with the rows, they would keep them out for ever.
            expire(gone.expired)
            let_go(gone.throttled)
    raise DuplicateNotVisible(batch.processor_class)


class _DuplicateGoneError(Exception):
    """A duplicate kept a row out and could not be found, or may keep others out no longer."""

    def __init__(self, *, expired: Sequence[int] = (), throttled: Sequence[Task] = ()) -> None:
        super().__init__(expired, throttled)
        self.expired = expired
        self.throttled = throttled


def _inserted_or_found(
    alias: str, batch: Batch, rows: list[BatchRow], on_duplicate: str, is_held: bool
) -> dict[int, Task]:
    inserted = dialect_for(alias).insert_many(
        connections[alias], batch, rows, on_duplicate, hold_duplicates=is_held
    )
    new = [row for row in rows if row.id in inserted]
    found = dict(zip((row.id for row in new), inserted_instances(alias, batch, new), strict=True))
    duplicates = {}
    if len(new) < len(rows):
        duplicates = _duplicates([row for row in rows if row.id not in inserted])
    if len(new) + len(duplicates) < len(rows):
        raise _DuplicateGoneError
    if expired := expired_among(duplicates.values()):
        raise _DuplicateGoneError(expired=expired)
    throttled = [task for task in duplicates.values() if task.unique_for_seconds is not None]
    if throttled and not is_held:
        raise _DuplicateGoneError(throttled=throttled)
    return found | duplicates


def _duplicates(rows: list[BatchRow]) -> dict[int, Task]:
    """Return the tasks that keep rows out, by the rows' ids."""
    pk_of = {row.unique_hash: row.id for row in rows}
    tasks = task_rows().filter(unique_key__in=list(pk_of))
    for task in tasks:
        task.was_duplicate = True
    return {pk_of[task.unique_key.hex]: task for task in tasks if task.unique_key is not None}
