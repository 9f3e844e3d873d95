"""Instances of Task made of values at hand, without another query."""

from __future__ import annotations

import gc
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.db.models.base import ModelState

from django_partisan.attempt import ClaimedTask
from django_partisan.config.moments import as_project_reads
from django_partisan.database.values import (
    LABELS,
    Batch,
    BatchRow,
    InsertedTask,
    Membership,
    NewTask,
    Repeat,
)
from django_partisan.lifecycle.rows import database
from django_partisan.models import Task
from django_partisan.payloads.encoding import decode_stored


def inserted_instance(alias: str, new_task: NewTask, inserted: InsertedTask) -> Task:
    """Return the row that was just inserted."""
    created_at = as_project_reads(inserted.created_at)
    return _new_instance(
        alias,
        id=inserted.id,
        queue_name=new_task.queue_name,
        created_at=created_at,
        updated_at=created_at,
        processor_class=new_task.processor_class,
        priority=new_task.priority,
        execute_after=as_project_reads(inserted.execute_after),
        is_unique_until_finish=new_task.is_unique_until_finish,
        expires_at=inserted.expires_at and as_project_reads(inserted.expires_at),
        **_more_columns(new_task, inserted),
        **_own_columns(json.loads(new_task.arguments), new_task.unique_hash, new_task.object_label),
    )


def inserted_instances(alias: str, batch: Batch, rows: Sequence[BatchRow]) -> list[Task]:
    """Return the rows of a batch that were just inserted, in their order."""
    read = batch._replace(
        created_at=as_project_reads(batch.created_at),
        execute_after=as_project_reads(batch.execute_after),
        expires_at=batch.expires_at and as_project_reads(batch.expires_at),
        debounce_until=batch.debounce_until and as_project_reads(batch.debounce_until),
    )
    columns = {
        **read._asdict(),
        **_repeat_columns(batch.repeat, read.execute_after),
        **_blocked_columns(batch.blocked_by),
        **_flow_columns(batch.flow),
    }
    common = _new_instance(alias, updated_at=read.created_at, **columns)
    with _collector_at_rest():
        # Decoded by one call, which costs half as much as one for each.
        arguments = json.loads(f"[{','.join(row.arguments for row in rows)}]")
        label = batch.object_label
        return [_copy(common, row, own, label) for row, own in zip(rows, arguments, strict=True)]


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Make thousands of objects without looking for garbage among them, which costs as much again.

    None of them is garbage yet, and a chunk is a matter of milliseconds. Where threads overlap, the
    collector is on again as soon as the one that has turned it off is done.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _new_instance(alias: str, **columns: Any) -> Task:
    known = {**_AT_FIRST, **columns}
    known["tags"] = known.get("tags") or ()
    names = _column_names()
    # All columns in the order of the model: Django's constructor is fastest with them.
    return Task.from_db(alias, names, [known.get(name) for name in names])


def _copy(common: Task, row: BatchRow, arguments: Any, object_label: str | None) -> Task:
    """Return a copy with the columns of a row: several times faster than the constructor."""
    task, state = Task.__new__(Task), ModelState()
    state.adding, state.db = False, common._state.db  # noqa: SLF001
    own = _own_columns(arguments, row.unique_hash, object_label)
    task.__dict__ = {**common.__dict__, "_state": state, "id": row.id, **own}
    return task


def _own_columns(
    arguments: Any, unique_hash: str | None, object_label: str | None
) -> dict[str, Any]:
    unique = None if unique_hash is None else uuid.UUID(unique_hash)
    key = None if object_label is None else f"{object_label}:{arguments['args'][0]}"
    return {
        "arguments": arguments,
        "extra": {},
        "unique_hash": unique,
        "unique_key": unique,
        "object_key": key,
    }


def _more_columns(new_task: NewTask, inserted: InsertedTask) -> dict[str, Any]:
    more = new_task.more()
    if not more:
        return {}
    columns = _repeat_columns(new_task.repeat, as_project_reads(inserted.execute_after))
    most = new_task.debounce_max_seconds
    if most is not None:
        until = inserted.created_at + timedelta(seconds=most)
        columns["debounce_until"] = as_project_reads(until)
    return {
        **columns,
        **_blocked_columns(new_task.blocked_by),
        **_flow_columns(new_task.flow),
        **{name: more[name] for name in _AS_THEY_ARE if name in more},
    }


def _flow_columns(flow: Membership | None) -> dict[str, Any]:
    return {} if flow is None else flow._asdict()


def _blocked_columns(blocked_by: int | None) -> dict[str, Any]:
    if blocked_by is None:
        return {"blocked_by": 0}
    return {"status": Task.STATUS_WAITING.value, "blocked_by": blocked_by}


def _repeat_columns(repeat: Repeat | None, slot: datetime) -> dict[str, Any]:
    if repeat is None:
        return {}
    until = None if repeat.until is None else as_project_reads(repeat.until)
    return {"repeat_seconds": repeat.seconds, "repeat_until": until, "repeat_slot": slot}


@cache
def _column_names() -> list[str]:
    return [field.attname for field in Task._meta.concrete_fields]  # noqa: SLF001


def instance_of(task: ClaimedTask) -> Task:
    """Return a claimed task's row; columns that a claim does not carry are read when asked for."""
    return _instance_with(task, arguments=decode_stored(task.arguments))


def changed_instance_of(task: ClaimedTask, columns: Mapping[str, Any]) -> Task:
    """Return the row that a claimed task has become, with the columns that have changed.

    Arguments that cannot be decoded are no obstacle: they are read when asked for, as others are.
    """
    try:
        return _instance_with(task, **{"arguments": json.loads(task.arguments), **columns})
    except (ValueError, RecursionError):
        return _instance_with(task, **columns)


def _instance_with(task: ClaimedTask, **columns: Any) -> Task:
    known = {**task._asdict(), "status": Task.STATUS_IN_PROCESS.value}
    if "arguments" not in columns:
        del known["arguments"]
    known.update(columns)
    names = _known_names(tuple(known))
    return Task.from_db(database(), names, [known[name] for name in names])


@cache
def _known_names(known: tuple[str, ...]) -> list[str]:
    # from_db() takes the values in the order of the model's columns.
    return [name for name in _column_names() if name in known]


def claimed_of(task: Task) -> ClaimedTask:
    """Return what a claim carries of a row; its place in the order is of no meaning."""
    columns = {name: getattr(task, name) for name in CLAIMED_COLUMNS}
    return ClaimedTask(**columns, arguments=json.dumps(task.arguments), due=0.0)


CLAIMED_COLUMNS = tuple(
    name for name in ClaimedTask._fields if name not in {"arguments", "due", "starts_by"}
)
"""The columns of a task that a claim carries as they are."""
_AS_THEY_ARE = ("unique_for_seconds", *LABELS)
_COUNTERS = ("lease", "attempts", "retries", "postpones", "rescues", "crashes", "blocked_by")
_AT_FIRST = {
    "status": Task.STATUS_NEW.value,
    "has_dependents": False,
    **dict.fromkeys(_COUNTERS, 0),
}
