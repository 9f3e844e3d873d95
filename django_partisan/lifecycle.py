"""Every transition of a task's status, as set-based verbs guarded by status or lease."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from django.db import DatabaseError, connections, transaction
from django.db.models import F, Q, TextField
from django.db.models.functions import Cast, Now

from django_partisan import execution
from django_partisan.dialects import dialect_for
from django_partisan.dialects.base import Lane, LaneSurvey, NewTask
from django_partisan.endings import (
    CANCEL,
    RETRY,
    Ending,
    attempt_of,
    orphan_ending,
    settlements_of,
    verb_of,
)
from django_partisan.exceptions import DuplicateNotVisible
from django_partisan.execution import ClaimedTask
from django_partisan.fault_points import reach
from django_partisan.instances import database, inserted_instance
from django_partisan.models import Attempt, Task
from django_partisan.notifications import announce

logger = logging.getLogger(__name__)


def enqueue(new_task: NewTask, on_duplicate: str) -> Task:
    """Store a new task in the caller's transaction and return it, or the duplicate that waits."""
    alias = database()
    inserted = None
    for _ in range(20):
        inserted = dialect_for(alias).insert(connections[alias], new_task, on_duplicate)
        if inserted is not None:
            break
        # The duplicate may be claimed between the two statements: then its key is free again.
        duplicate = Task.objects.using(alias).filter(unique_key=new_task.unique_hash).first()
        if duplicate is not None:
            return duplicate
    if inserted is None:
        raise DuplicateNotVisible(new_task.processor_class)
    announce(alias, new_task.queue_name)
    if on_duplicate != "keep" and new_task.unique_hash:
        return Task.objects.using(alias).get(pk=inserted.id)
    return inserted_instance(alias, new_task, inserted)


def claim(
    queue_name: str, limit: int, manager_id: int, lanes: Sequence[Lane] | None = None
) -> list[ClaimedTask]:
    """Take up to ``limit`` due tasks of a queue for a manager, in the order they should run.

    ``lanes`` are the places to look at, in the order of their priority; without them, a survey
    finds them first.
    """
    alias = database()
    if lanes is None:
        lanes = [found.lane for found in survey(queue_name) if found.has_due]
    return dialect_for(alias).claim(connections[alias], queue_name, lanes, limit, manager_id)


def survey(queue_name: str) -> list[LaneSurvey]:
    """Return where the tasks of a queue wait: its priorities in order, a hundred at most."""
    alias = database()
    return dialect_for(alias).survey(connections[alias], queue_name)


def record(endings: Sequence[Ending], *, delete_finished: bool, max_rescues: int) -> set[int]:
    """Record outcomes under their leases; return the ids of the tasks that were still ours.

    Each attempt worth telling leaves an Attempt row in the same transaction. Recording the same
    outcome twice changes nothing the second time.
    """
    finished = [ending for ending in endings if ending.outcome.kind == execution.FINISHED]
    others = [ending for ending in endings if ending.outcome.kind != execution.FINISHED]
    recorded = _record_finished(finished, delete_finished) if finished else set()
    return recorded | _record_others(others, max_rescues) if others else recorded


def record_and_claim(
    endings: Sequence[Ending],
    queue_name: str,
    limit: int,
    manager_id: int,
    lanes: Sequence[Lane],
) -> Callable[[], tuple[set[int], list[ClaimedTask]]]:
    """Return a call that records finished tasks and claims the next ones, in one round trip.

    The call may be made in another thread while nothing else uses the connection. ``endings`` must
    hold FINISHED outcomes only, and DELETE_TASKS_ON_COMPLETE be off.
    """
    alias = database()
    return partial(
        dialect_for(alias).settle_and_claim,
        connections[alias],
        settlements_of(endings),
        queue_name,
        lanes,
        limit,
        manager_id,
    )


def still_held(endings: Sequence[Ending]) -> set[int]:
    """Return the ids among these whose lease still holds, so that recording can be tried again."""
    leases = {ending.task.id: ending.task.lease for ending in endings}
    rows = (
        Task.objects.using(database())
        .filter(pk__in=leases, status=Task.STATUS_IN_PROCESS)
        .values_list("pk", "lease")
    )
    return {pk for pk, lease in rows if leases[pk] == lease}


def strays(manager_id: int | None, known: set[int]) -> list[ClaimedTask]:
    """Return the tasks that a manager holds in the database without knowing of it."""
    with transaction.atomic(using=database()):
        held = _locked_orphans(Q(manager_id=manager_id), 10_000)
    return [task for task, _ in held if task.id not in known]


def mark_started(tasks: Sequence[ClaimedTask]) -> set[int]:
    """Write ``started_at`` of tasks about to run; return the ids whose lease still holds."""
    queryset = Task.objects.using(database())
    return {
        task.id
        for task in tasks
        if queryset.filter(pk=task.id, lease=task.lease, status=Task.STATUS_IN_PROCESS).update(
            started_at=Now(), updated_at=Now()
        )
    }


def rescue(owners: Q, *, limit: int, max_rescues: int, reason: str) -> list[int]:
    """Give orphans back to their queue, or to error past the cap; return the ids moved.

    ``owners`` says, as a condition on tasks, who does not live; it is evaluated by the statement
    that locks the rows, so a task that was claimed anew in the meantime is left alone.
    """
    with transaction.atomic(using=database()):
        orphans = _locked_orphans(owners, limit)
        endings = [orphan_ending(task, has_started, reason) for task, has_started in orphans]
        recorded = _record_others(endings, max_rescues) if endings else set()
    for queue_name in {task.queue_name for task, _ in orphans}:
        announce(database(), queue_name)
    return sorted(recorded)


def take_over(
    owners: Q, manager_id: int, *, queue_name: str, limit: int, max_rescues: int
) -> list[ClaimedTask]:
    """Make the orphans of one's own dead predecessor one's own, and return them in order.

    Counts as a rescue, so each of them runs alone; those past the cap go to error instead. Orphans
    whose end was asked for are left to :func:`rescue`, which cancels them.
    """
    wanted = owners & Q(queue_name=queue_name, cancel_requested_at__isnull=True)
    with transaction.atomic(using=database()):
        orphans = _locked_orphans(wanted, limit)
        reach("manager.locked_orphans")
        spent = [task for task, has_started in orphans if has_started]
        hopeless = [task for task in spent if task.crashes >= max_rescues]
        if hopeless:
            _record_others([orphan_ending(task, True, "") for task in hopeless], max_rescues)
        crashed = {task.id for task in spent} - {task.id for task in hopeless}
        held = [task for task, _ in orphans if task not in hopeless]
        _adopt(held, crashed, manager_id)
    return [_adopted(task, task.id in crashed) for task in held]


def requeue(ids: Iterable[int]) -> list[int]:
    """Put terminal tasks back to new, due now, with their counters reset; return the ids moved.

    A task that is not terminal is left alone. Its former attempts stay readable.
    """
    alias = database()
    with transaction.atomic(using=alias):
        queryset = Task.objects.using(alias).filter(
            pk__in=list(ids), status__in=Task.TERMINAL_STATUSES
        )
        rows = list(queryset.select_for_update().order_by("pk").values_list("pk", "queue_name"))
        moved = [pk for pk, _ in rows]
        Task.objects.using(alias).filter(pk__in=moved).update(
            status=Task.STATUS_NEW,
            execute_after=Now(),
            updated_at=Now(),
            started_at=None,
            claimed_at=None,
            finished_at=None,
            result=None,
            cancel_requested_at=None,
            attempts=0,
            retries=0,
            postpones=0,
            rescues=0,
            crashes=0,
        )
        for queue_name in {queue_name for _, queue_name in rows}:
            announce(alias, queue_name)
    regain_uniqueness(moved)
    return moved


def regain_uniqueness(ids: Sequence[int]) -> None:
    """Let waiting tasks keep duplicates out again where the key is free; best effort.

    A rival that takes the key at the same moment wins: the task then waits beside its duplicate.
    """
    if not ids:
        return
    alias = database()
    try:
        with transaction.atomic(using=alias):
            dialect_for(alias).regain_unique_keys(connections[alias], ids)
    except DatabaseError as error:
        logger.info("uniqueness of %d waiting tasks was not regained: %s", len(ids), error)


def _record_finished(endings: Sequence[Ending], delete: bool) -> set[int]:
    alias = database()
    dialect, settlements = dialect_for(alias), settlements_of(endings)
    if not delete:
        return set(dialect.settle(connections[alias], settlements))
    told = [e.task.id for e in endings if e.task.attempts > 1 or e.task.rescues]
    with transaction.atomic(using=alias):
        deleted = dialect.delete_settled(connections[alias], settlements)
        if told:
            Attempt.objects.using(alias).filter(task_id__in=deleted.intersection(told)).delete()
    return deleted


def _record_others(endings: Sequence[Ending], max_rescues: int) -> set[int]:
    alias = database()
    settlements = settlements_of(endings, max_rescues)
    with transaction.atomic(using=alias):
        recorded = dialect_for(alias).settle(connections[alias], settlements)
        reach("manager.settled_without_attempts")
        attempts = [
            attempt_of(ending, CANCEL if recorded[ending.task.id] == CANCEL.status else verb)
            for ending in endings
            if ending.task.id in recorded and (verb := verb_of(ending, max_rescues)).tells
        ]
        Attempt.objects.using(alias).bulk_create(attempts)
    regain_uniqueness([pk for pk, status in recorded.items() if status == RETRY.status])
    return set(recorded)


def _locked_orphans(owners: Q, limit: int) -> list[tuple[ClaimedTask, bool]]:
    columns = [*ClaimedTask._fields[:3], "arguments_text", "queue_name", "priority"]
    counters = ["attempts", "retries", "postpones", "rescues", "crashes"]
    rows = (
        Task.objects.using(database())
        .filter(owners, status=Task.STATUS_IN_PROCESS)
        .annotate(arguments_text=Cast("arguments", TextField()))
        .order_by("priority", "execute_after", "pk")
        .select_for_update(skip_locked=True)
        .values_list(*columns, *counters, "started_at")[:limit]
    )
    return [
        (ClaimedTask._make([*row[:6], float(place), *row[6:-1]]), row[-1] is not None)
        for place, row in enumerate(rows)
    ]


def _adopt(tasks: Sequence[ClaimedTask], crashed: set[int], manager_id: int) -> None:
    queryset = Task.objects.using(database())
    queryset.filter(pk__in=crashed).update(crashes=F("crashes") + 1, attempts=F("attempts") + 1)
    queryset.filter(pk__in=[task.id for task in tasks]).update(
        lease=F("lease") + 1,
        manager_id=manager_id,
        rescues=F("rescues") + 1,
        claimed_at=Now(),
        started_at=None,
        updated_at=Now(),
    )


def _adopted(task: ClaimedTask, has_crashed: bool) -> ClaimedTask:
    return task._replace(
        lease=task.lease + 1,
        rescues=task.rescues + 1,
        crashes=task.crashes + has_crashed,
        attempts=task.attempts + has_crashed,
    )
