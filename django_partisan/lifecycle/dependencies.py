"""Tasks that wait for others: stored after these, and told when they have ended."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from django.db import Error, connections, transaction
from django.db.models.functions import Now

from django_partisan.config.wording import counted, did_you_mean, shown
from django_partisan.database import dialect_for
from django_partisan.database.values import Edge, NewTask, Told
from django_partisan.exceptions import DependencyFailed, DependencyNotFound
from django_partisan.fault_points import reach
from django_partisan.lifecycle.conflicts import tried_again
from django_partisan.lifecycle.enqueue import enqueue
from django_partisan.lifecycle.enqueue_many import enqueue_many
from django_partisan.lifecycle.notifications import announce
from django_partisan.lifecycle.rows import attempt_rows, database, dependency_rows, task_rows
from django_partisan.lifecycle.telling import tell_cancelled
from django_partisan.logs import one_line
from django_partisan.models import Attempt, Dependency, Task

logger = logging.getLogger(__name__)
EDGES_BATCH: Final = 50_000
"""Edges that one statement stores at most."""
TELL_BATCH: Final = 100
"""Marks that are told of by one statement at most; a flush of outcomes leaves one."""


_NOT_FINISHED: Final = "a task that it waited for did not finish"


class After(NamedTuple):
    """What a task is to wait for, and what becomes of it when one of these does not finish."""

    ids: Sequence[int]
    policy: str = Dependency.Policy.CANCEL


def checked_policy(policy: str) -> str:
    """Return an ``on_dependency_failure``; raise ValueError for what is none."""
    known = Dependency.Policy.values
    if policy not in known:
        meant = did_you_mean(str(policy), known)
        raise ValueError(
            f"on_dependency_failure must be 'cancel' or 'run', got {shown(policy)}{meant}"
        )
    return policy


def enqueue_after(new_task: NewTask, on_duplicate: str, after: After) -> Task:
    """Store a new task that waits until others have ended, or return the duplicate that waits.

    In the caller's transaction, which keeps those others locked until its end: nobody claims or
    records them so long. Raises DependencyNotFound where one of them is not there.
    """
    alias = database()
    unique = None if new_task.unique_hash is None else new_task.processor_class

    def store() -> Task:
        with transaction.atomic(using=alias):
            parents = _locked_parents(after)
            task = enqueue(new_task._replace(blocked_by=parents.blocked_by), on_duplicate)
            _join([task], parents, after)
        return task

    return tried_again(alias, store, unique=unique)


def enqueue_many_after(
    template: NewTask,
    arguments: Sequence[str],
    keys: Sequence[str] | None,
    on_duplicate: str,
    after: After,
) -> list[Task]:
    """Store a batch of tasks that wait for the same others, as :func:`enqueue_after` does one."""
    alias = database()
    unique = None if keys is None else template.processor_class

    def store() -> list[Task]:
        with transaction.atomic(using=alias):
            parents = _locked_parents(after)
            waiting = template._replace(blocked_by=parents.blocked_by)
            tasks = enqueue_many(waiting, arguments, keys, on_duplicate)
            _join(tasks, parents, after)
        return tasks

    return tried_again(alias, store, unique=unique)


def join_tasks(edges: Iterable[Edge]) -> None:
    """Store who waits for whom, in the transaction that stores those who wait."""
    alias, stored = database(), list(edges)
    for start in range(0, len(stored), EDGES_BATCH):
        chunk = stored[start : start + EDGES_BATCH]
        dialect_for(alias).insert_edges(connections[alias], chunk)


def tell_dependents() -> Told:
    """Tell a batch of those who wait for tasks that have ended; see :class:`Told`.

    Each end is told once, whoever does it, and however often this is called.
    """
    alias = database()
    reach("manager.recorded_before_telling")
    told = dialect_for(alias).tell_dependents(connections[alias], TELL_BATCH)
    reach("manager.told_dependents")
    for queue_name in told.queue_names:
        announce(alias, queue_name)
    if told.cancelled:
        logger.warning(
            "%s will not run: what it waited for did not finish",
            counted(len(told.cancelled), "dependent task"),
        )
        tell_cancelled(told.cancelled, _NOT_FINISHED)
    return told


def tell_dependents_after_commit() -> None:
    """Tell all who wait for what has ended, once the transaction is committed, or now without one.

    Whatever fails then is left to a manager, which looks after a moment.
    """
    connection = connections[database()]
    if connection.in_atomic_block and connection.settings_dict["AUTOCOMMIT"]:
        connection.on_commit(_tell_in_passing, robust=True)
    else:
        _tell_in_passing()


def _tell_in_passing() -> None:
    try:
        while tell_dependents().has_more:
            pass
    except Error as error:
        logger.warning("a manager will tell dependent tasks: %s", one_line(error))


def results_of_parents(task_id: int) -> list[Any]:
    """Return what the tasks have returned that a task has waited for, in the order of their ids.

    That is the order in which they were stored. None for one that did not finish.
    """
    edges = list(
        dependency_rows()
        .filter(child_id=task_id)
        .order_by("parent_id")
        .values_list("parent_id", "parent_result")
    )
    rows = task_rows().filter(pk__in=[parent for parent, _ in edges])
    known = {
        pk: (name, result)
        for pk, name, result in rows.values_list("pk", "processor_class", "result")
    }
    results: list[Any] = []
    for parent, kept in edges:
        name, result = known.get(parent, (None, kept))
        results += results_of_parents(parent) if name == "" else [result]
    return results


# ----- enqueueing -----


class _Parents(NamedTuple):
    """The tasks to wait for, under their locks: those that have not ended, and how others have."""

    unfinished: list[int]
    ended: dict[int, str]
    doomed_by: tuple[int, str] | None

    @property
    def blocked_by(self) -> int | None:
        """How many to wait for; None where the task can be claimed at once."""
        return len(self.unfinished) if self.unfinished or self.doomed_by else None


def _locked_parents(after: After) -> _Parents:
    """Lock the tasks to wait for, and have their ends be told.

    Counted is what the locking statement has returned, and nothing that is read later: a parent
    committed in between would be seen there, and locked by nobody.
    """
    wanted = sorted(set(after.ids))
    rows = task_rows().filter(pk__in=wanted)
    mark = partial(_mark_parents, wanted)
    if connections[database()].features.has_select_for_update:
        locked = rows.order_by("pk").select_for_update(no_key=True)
        statuses = dict(locked.values_list("pk", "status"))
        mark()
    else:  # SQLite: the first statement takes the lock of writers, if it writes.
        mark()
        statuses = dict(rows.values_list("pk", "status"))
    if missing := [pk for pk in wanted if pk not in statuses]:
        raise DependencyNotFound(missing)
    ended = {pk: status for pk, status in statuses.items() if status in Task.TERMINAL_STATUSES}
    failed = [pk for pk, status in ended.items() if status != Task.STATUS_FINISHED]
    is_doomed = failed and after.policy == Dependency.Policy.CANCEL
    return _Parents(
        unfinished=[pk for pk in wanted if pk not in ended],
        ended=ended,
        doomed_by=(min(failed), ended[min(failed)]) if is_doomed else None,
    )


def _mark_parents(ids: Iterable[int]) -> None:
    unfinished = task_rows().filter(pk__in=ids, has_dependents=False)
    unfinished.exclude(status__in=Task.TERMINAL_STATUSES).update(has_dependents=True)


def _join(tasks: Sequence[Task], parents: _Parents, after: After) -> None:
    """Store who waits for whom; what an end of before forbids is cancelled with the reason."""
    new = {task.pk: task for task in tasks if not task.was_duplicate}
    outcomes = {**dict.fromkeys(parents.unfinished), **parents.ended}
    join_tasks(
        Edge(parent, pk, after.policy, outcome)
        for pk in new
        for parent, outcome in outcomes.items()
    )
    if parents.doomed_by is not None:
        _cancel(list(new.values()), DependencyFailed(*parents.doomed_by))


def _cancel(tasks: Sequence[Task], reason: DependencyFailed) -> None:
    rows = task_rows().filter(pk__in=[task.pk for task in tasks])
    rows.update(status=Task.STATUS_CANCELLED, finished_at=Now(), updated_at=Now(), unique_key=None)
    error_type = type(reason).__name__
    attempt_rows().bulk_create(
        Attempt(
            task_id=task.pk,
            number=1,
            lease=0,
            outcome=Attempt.Outcome.CANCELLED,
            error_type=error_type,
            message=str(reason),
        )
        for task in tasks
    )
    for task in tasks:
        task.status, task.unique_key = Task.STATUS_CANCELLED, None
    tell_cancelled([task.pk for task in tasks], str(reason))
