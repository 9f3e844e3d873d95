"""Makes tasks, outcomes and rivals for tests, in as few words as they deserve."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import connection, connections
from django.db.models import Q
from django.utils import timezone

from django_partisan import lifecycle
from django_partisan.attempt import (
    FINISHED,
    POSTPONED,
    RELEASED,
    RETRIED,
    ClaimedTask,
    ErrorReport,
    Outcome,
)
from django_partisan.database.values import TASK, Claimed
from django_partisan.lifecycle.transitions import EndedAttempt
from django_partisan.models import Attempt, Task
from tests.support.helpers import HANG_SECONDS
from tests.support.processors import Plain

T = TypeVar("T")

OWNER, RIVAL = 900_000_011, 900_000_022  # no real manager gets so far
MAX_RESCUES = 3
DEAD = Q(manager_id=OWNER)
BOOM = ErrorReport("tests.Boom", "it went boom", "Traceback: boom")


def enqueue(count: int = 1, **options: Any) -> list[Task]:
    """Enqueue ``count`` tasks with different arguments."""
    return [Plain(number).delay(**options) for number in range(count)]


def claim(limit: int = 100, *, queue: str = "default", owner: int = OWNER) -> Claimed:
    """Claim for an owner that need not be registered."""
    return lifecycle.claim(queue, limit, owner)


def claim_new(count: int = 1, *, owner: int = OWNER) -> list[ClaimedTask]:
    """Enqueue tasks and claim them at once."""
    enqueue(count)
    return claim(count, owner=owner)


def ended_attempt(task: ClaimedTask, kind: str = FINISHED, **details: Any) -> EndedAttempt:
    """Return the end of an attempt that ran from two seconds to one second ago."""
    now = time.monotonic()
    details.setdefault("started", now - 2)
    if kind not in {FINISHED, POSTPONED, RELEASED}:
        details.setdefault("error", BOOM)
    if kind in {RETRIED, POSTPONED} and "due_at" not in details:
        details.setdefault("delay_seconds", 0.0)
    outcome = Outcome(task.id, task.lease, kind, ended=now - 1, **details)
    return EndedAttempt(task=task, outcome=outcome, worker_pid=4321, node_name="here")


def record(*ended_attempts: EndedAttempt, delete_finished: bool = False) -> set[int]:
    """Record with the default cap on rescues."""
    return lifecycle.record(
        ended_attempts, delete_finished=delete_finished, max_rescues=MAX_RESCUES
    )


def record_and_claim(
    ended_attempts: Sequence[EndedAttempt], limit: int, owner: int = OWNER
) -> tuple[set[int], Claimed]:
    """Record finished tasks and claim of the default queue what a survey finds."""
    cursors = [found.cursor for found in lifecycle.survey(["default"])["default"] if found.has_due]
    return lifecycle.record_and_claim(ended_attempts, "default", limit, owner, cursors)()


def finish(task: ClaimedTask) -> set[int]:
    """Record that a task returned None."""
    return record(ended_attempt(task))


def rescue(owners: Q = DEAD, *, limit: int = 100, reason: str = "") -> list[int]:
    """Rescue what the owner holds, with the default cap."""
    return lifecycle.rescue(owners, limit=limit, max_rescues=MAX_RESCUES, reason=reason)


def take_over(owners: Q = DEAD, *, limit: int = 100, queue: str = "default") -> list[ClaimedTask]:
    """Let the rival take over what the owner holds, with the default cap."""
    return lifecycle.take_over(
        owners, RIVAL, queues=Q(queue_name=queue), limit=limit, max_rescues=MAX_RESCUES
    )


def row_of(task: ClaimedTask | Task | int) -> Task:
    """Read a task's row anew."""
    return Task.objects.get(pk=task if isinstance(task, int) else task.id)


def attempts_of(task: ClaimedTask | Task) -> list[Attempt]:
    """Read the attempts that a task's history tells."""
    return list(Attempt.objects.filter(task_id=task.id))


def statuses() -> list[str]:
    """Return the status of every task, by id."""
    return list(Task.objects.order_by("pk").values_list("status", flat=True))


def ids_of(tasks: Sequence[ClaimedTask] | Sequence[Task]) -> list[int]:
    """Return the ids, in the order of the tasks."""
    return [task.id for task in tasks]


def seconds_from_now(moment: datetime | None) -> float:
    """Return how far ahead a moment is."""
    assert moment is not None
    return (moment - timezone.now()).total_seconds()


def insert_in_bulk(count: int, **columns: Any) -> list[Task]:
    """Insert many rows without going through ``delay()``."""
    # A moment ago: a database's clock may be coarser than ours.
    due = timezone.now() - timedelta(seconds=1)
    values = {"processor_class": Plain(0).processor_name, "execute_after": due}
    rows = [
        Task(arguments={"args": [number], "kwargs": {}}, **{**values, **columns})
        for number in range(count)
    ]
    return Task.objects.bulk_create(rows, batch_size=1000)


def claimed_task(processor: Any, **columns: Any) -> ClaimedTask:
    """Return a claimed task as a worker gets it, without a row behind it."""
    values: dict[str, Any] = {
        "id": 7,
        "lease": 3,
        "processor_class": processor.processor_name,
        "arguments": json.dumps({"args": processor.args, "kwargs": processor.kwargs}),
        "queue_name": "default",
        "priority": 10,
        "due": 0.0,
        "attempts": 1,
        **dict.fromkeys(("retries", "postpones", "rescues", "crashes"), 0),
    }
    return ClaimedTask(**{**values, **columns})


@contextmanager
def locked_by_a_stranger(pk: int, table: str = TASK) -> Iterator[None]:
    """Hold a row, a task's or another, locked elsewhere; the block may end in any thread."""
    stranger = connection.copy()
    stranger.inc_thread_sharing()
    stranger.set_autocommit(False)
    try:
        with stranger.cursor() as cursor:
            cursor.execute(f"SELECT id FROM {table} WHERE id = %s FOR UPDATE", [pk])
        yield
    finally:
        stranger.rollback()  # the server lets go of a session that is only closed a moment later
        stranger.close()


def at_once(*actions: Callable[[], T]) -> list[T]:
    """Run all actions at the same moment, each on its own connection; return what they gave."""
    gate = threading.Barrier(len(actions))

    def run(action: Callable[[], T]) -> T:
        try:
            _never_wait_for_ever()
            gate.wait(HANG_SECONDS)
            return action()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(actions)) as pool:
        futures = [pool.submit(run, action) for action in actions]
        return [future.result() for future in futures]


def _never_wait_for_ever() -> None:
    # A rival that is blocked has to fail: its thread could not be ended otherwise.
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'; SET statement_timeout = '20s'")
