"""Instances of Task made of values at hand, without another query."""

from __future__ import annotations

import gc
import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.db.models.base import ModelState

from django_partisan.attempt import ClaimedTask
from django_partisan.database.values import Batch, BatchRow, InsertedTask, NewTask
from django_partisan.lifecycle.rows import database
from django_partisan.models import Task
from django_partisan.payloads.encoding import decode_arguments


def inserted_instance(alias: str, new_task: NewTask, inserted: InsertedTask) -> Task:
    """Return the row that was just inserted."""
    return _new_instance(
        alias,
        id=inserted.id,
        queue_name=new_task.queue_name,
        created_at=inserted.created_at,
        updated_at=inserted.created_at,
        processor_class=new_task.processor_class,
        priority=new_task.priority,
        execute_after=inserted.execute_after,
        is_unique_until_finish=new_task.is_unique_until_finish,
        **_own_columns(json.loads(new_task.arguments), new_task.unique_hash),
    )


def inserted_instances(alias: str, batch: Batch, rows: Sequence[BatchRow]) -> list[Task]:
    """Return the rows of a batch that were just inserted, in their order."""
    common = _new_instance(alias, updated_at=batch.created_at, **batch._asdict())
    with _collector_at_rest():
        # Decoded by one call, which costs half as much as one for each.
        arguments = json.loads(f"[{','.join(row.arguments for row in rows)}]")
        return [_copy(common, row, own) for row, own in zip(rows, arguments, strict=True)]


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
    known = {"status": Task.STATUS_NEW.value, **dict.fromkeys(_COUNTERS, 0), **columns}
    names = _column_names()
    # All columns in the order of the model: Django's constructor is fastest with them.
    return Task.from_db(alias, names, [known.get(name) for name in names])


def _copy(common: Task, row: BatchRow, arguments: Any) -> Task:
    """Return a copy with the columns of a row: several times faster than the constructor."""
    task, state = Task.__new__(Task), ModelState()
    state.adding, state.db = False, common._state.db  # noqa: SLF001
    own = _own_columns(arguments, row.unique_hash)
    task.__dict__ = {**common.__dict__, "_state": state, "id": row.id, **own}
    return task


def _own_columns(arguments: Any, unique_hash: str | None) -> dict[str, Any]:
    unique = None if unique_hash is None else uuid.UUID(unique_hash)
    return {
        "arguments": arguments,
        "extra": {},
        "unique_hash": unique,
        "unique_key": unique,
    }


@cache
def _column_names() -> list[str]:
    return [field.attname for field in Task._meta.concrete_fields]  # noqa: SLF001


def instance_of(task: ClaimedTask) -> Task:
    """Return a claimed task's row; columns that a claim does not carry are read when asked for."""
    args, kwargs = decode_arguments(task.arguments)
    # from_db() takes the values in the order of the model's columns.
    known: dict[str, Any] = {
        "id": task.id,
        "status": Task.STATUS_IN_PROCESS.value,
        "queue_name": task.queue_name,
        "processor_class": task.processor_class,
        "priority": task.priority,
        "arguments": {"args": args, "kwargs": kwargs},
        "lease": task.lease,
        "attempts": task.attempts,
        "retries": task.retries,
        "postpones": task.postpones,
        "rescues": task.rescues,
        "crashes": task.crashes,
    }
    return Task.from_db(database(), list(known), list(known.values()))


_COUNTERS = ("lease", "attempts", "retries", "postpones", "rescues", "crashes")
