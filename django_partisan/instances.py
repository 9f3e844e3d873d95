"""Task instances made from what is at hand already, without asking the database again."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.db import router

from django_partisan.dialects.base import InsertedTask, NewTask
from django_partisan.encoding import decode_arguments
from django_partisan.execution import ClaimedTask
from django_partisan.models import Task


def database() -> str:
    """Return the alias of the database that holds the tasks, as the routers say."""
    alias: str = router.db_for_write(Task)
    return alias


def inserted_instance(alias: str, new_task: NewTask, inserted: InsertedTask) -> Task:
    """Return the row that was just inserted."""
    unique = None if new_task.unique_hash is None else uuid.UUID(new_task.unique_hash)
    task = Task(
        id=inserted.id,
        status=Task.STATUS_NEW.value,
        queue_name=new_task.queue_name,
        created_at=inserted.created_at,
        updated_at=inserted.created_at,
        processor_class=new_task.processor_class,
        priority=new_task.priority,
        execute_after=inserted.execute_after,
        arguments=json.loads(new_task.arguments),
        unique_hash=unique,
        unique_key=unique,
        is_unique_until_finish=new_task.is_unique_until_finish,
        **dict.fromkeys(_COUNTERS, 0),
    )
    task._state.adding, task._state.db = False, alias  # noqa: SLF001
    return task


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
