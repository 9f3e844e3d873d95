"""Flows as rows: stored at once, counted on demand, cancelled, retried, added to, waited for."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from django.db import connections, transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Now

from django_partisan.backoff import Backoff
from django_partisan.database import dialect_for
from django_partisan.database.values import BatchRow, Edge, Membership, NewTask
from django_partisan.exceptions import DependencyFailed, FlowEnded
from django_partisan.lifecycle.cancel import request_cancel
from django_partisan.lifecycle.dependencies import (
    After,
    enqueue_after,
    join_tasks,
    tell_dependents_after_commit,
)
from django_partisan.lifecycle.enqueue import enqueue
from django_partisan.lifecycle.enqueue_many import insert_rows
from django_partisan.lifecycle.flow_progress import members_of, progress_of, tasks_of
from django_partisan.lifecycle.mermaid import mermaid_of
from django_partisan.lifecycle.notifications import announce
from django_partisan.lifecycle.requeue import requeue
from django_partisan.lifecycle.rows import (
    attempt_rows,
    database,
    dependency_rows,
    flow_rows,
    task_rows,
    untold_rows,
)
from django_partisan.lifecycle.steps import is_storable, refuse
from django_partisan.lifecycle.telling import tell_enqueued_rows
from django_partisan.models import Attempt, Flow, FlowProgress, Task

__all__ = [
    "Node",
    "add_to_flow",
    "cancel_flow",
    "joint",
    "mermaid_of",
    "progress_of",
    "retry_flow",
    "store_flow",
    "tasks_of",
    "wait_for_flow",
]

T = TypeVar("T")
_CHUNK: Final = 5_000
"""Rows that one statement about a flow names at most."""
_DEPENDENCY_FAILED: Final = DependencyFailed.__name__
_LOOK_SECONDS: Final = (0.02, 0.5)
"""The first and the longest pause between two looks of whoever waits for a flow."""


class Node(NamedTuple):
    """One task of a flow that is to be stored, and what becomes of it when a parent fails."""

    new_task: NewTask
    policy: str


def joint(queue_name: str) -> NewTask:
    """Return the task without a processor that stands between two groups: n + m edges, not n * m.

    It never waits in a queue: telling it that all before it have ended ends it.
    """
    return NewTask("", queue_name, 0, '{"args": [], "kwargs": {}}', None, 0.0, None, False)


def store_flow(
    name: str,
    nodes: Sequence[Node],
    edges: Collection[tuple[int, int]],
    *,
    on_success: int | None = None,
    on_complete: int | None = None,
) -> Flow:
    """Store the tasks of a flow and who waits for whom, in the caller's transaction.

    ``edges`` are pairs of places in ``nodes``, of a parent and its child; there is no way round in
    a circle. The statements are a handful, however many tasks there are.
    """
    alias = database()
    with transaction.atomic(using=alias):
        total = sum(bool(node.new_task.processor_class) for node in nodes)
        flow = flow_rows().create(name=name, total=total)
        ids, now = dialect_for(alias).reserve(connections[alias], len(nodes))
        blocked_by = Counter(child for _, child in edges)
        parents = {parent for parent, _ in edges}
        batches: dict[NewTask, list[BatchRow]] = defaultdict(list)
        for place, (pk, node) in enumerate(zip(ids, nodes, strict=True)):
            template = node.new_task._replace(
                arguments="",
                blocked_by=blocked_by[place] or None,
                flow=Membership(flow.pk, place in parents),
            )
            batches[template].append(BatchRow(pk, node.new_task.arguments, None))
        for template, rows in batches.items():
            insert_rows(alias, template, now, rows)
        join_tasks(Edge(ids[parent], ids[child], nodes[child].policy) for parent, child in edges)
        flow.on_success_id = None if on_success is None else ids[on_success]
        flow.on_complete_id = None if on_complete is None else ids[on_complete]
        flow.save(update_fields=["on_success_id", "on_complete_id"])
        tell_enqueued_rows(
            [pk for pk, node in zip(ids, nodes, strict=True) if node.new_task.processor_class]
        )
        for queue_name in {each.queue_name for each in batches if each.blocked_by is None}:
            announce(alias, queue_name)
    return flow


# ----- what a flow's methods call -----


def cancel_flow(flow: Flow, reason: str) -> int:
    """Cancel what has not ended, and keep the reason with what waited; return how many tasks."""
    with transaction.atomic(using=database()):
        unfinished = members_of(flow).exclude(status__in=Task.TERMINAL_STATUSES).order_by("pk")
        ids = list(unfinished.values_list("pk", flat=True))
        joints = set(unfinished.filter(processor_class="").values_list("pk", flat=True))
        count = 0
        for chunk in _chunks(ids):
            cancelled, requested = request_cancel(chunk)
            told = [pk for pk in cancelled if pk not in joints]
            count += len(told) + len(requested)
            if reason:
                attempt_rows().bulk_create(_cancelled_attempts(told, reason))
    return count


def retry_flow(flow: Flow, *, only_failed: bool) -> int:
    """Put tasks in error back, and with them, if so wished, what was cancelled because of them."""
    with transaction.atomic(using=database()):
        failed = members_of(flow).filter(status=Task.STATUS_ERROR).order_by("pk")
        moved = requeue(failed.values_list("pk", flat=True))
        reopened = [] if only_failed else _reopened(moved)
    return len(moved) + len(reopened)


def add_to_flow(flow: Flow, processor: Any, after: Sequence[Task], **labels: Any) -> Task:
    """Store one more task of a flow, for which what comes last, or after the caller, waits too."""
    if not is_storable(processor):
        refuse("flow.add() takes", processor)
    new_task = processor.as_new_task(**labels)._replace(flow=Membership(flow.pk, True))
    alias = database()
    with transaction.atomic(using=alias):
        parents = After([task.pk for task in after])
        task = enqueue_after(new_task, "keep", parents) if after else enqueue(new_task, "keep")
        ends = _waiting_ends(flow)
        if not ends:
            raise FlowEnded(flow)
        # What runs whatever becomes of the others does so whatever becomes of this one.
        waits = dependency_rows().filter(child_id__in=ends).values_list("child_id", "policy")
        policies = dict(waits.distinct())
        join_tasks(Edge(task.pk, pk, policies[pk]) for pk in ends)
        task_rows().filter(pk__in=ends).update(blocked_by=F("blocked_by") + 1)
        flow_rows().filter(pk=flow.pk).update(total=F("total") + 1)
        if task.status == Task.STATUS_CANCELLED:
            untold_rows().create(ends=[[task.pk, task.status]], created_at=Now())
            tell_dependents_after_commit()
    flow.refresh_from_db(fields=["total"])
    return task


def wait_for_flow(flow: Flow, timeout: float | None) -> FlowProgress:
    """Look again and again until all tasks of a flow have ended."""
    until = None if timeout is None else time.monotonic() + timeout
    pauses = Backoff(*_LOOK_SECONDS)
    while not (progress := progress_of(flow)).is_done:
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError(
                f"{flow}: {progress.done} of {progress.total} tasks have ended within "
                f"{timeout:g} seconds"
            )
        pause = pauses.next()
        time.sleep(pause if left is None else min(pause, left))
    return progress


def _cancelled_attempts(ids: Iterable[int], reason: str) -> Iterator[Attempt]:
    for pk in ids:
        yield Attempt(
            task_id=pk, number=1, lease=0, outcome=Attempt.Outcome.CANCELLED, message=reason
        )


def _waiting_ends(flow: Flow) -> list[int]:
    """Lock and return what is to wait for one more task: it waits still, and so nothing is lost."""
    if flow.member_id is None:
        ends = members_of(flow).filter(has_dependents=False)
    else:
        children = dependency_rows().filter(parent_id=flow.member_id)
        ends = task_rows().filter(pk__in=children.values("child_id"))
    waiting = ends.filter(status=Task.STATUS_WAITING).order_by("pk")
    return list(waiting.select_for_update(no_key=True).values_list("pk", flat=True))


def _reopened(parents: Iterable[int]) -> list[int]:
    """Have what was cancelled because of these tasks wait for them again; return those tasks."""
    opened, reopened, level = set(parents), [], list(parents)
    while level:
        level = [pk for chunk in _chunks(level) for pk in _cancelled_because_of(chunk, opened)]
        opened.update(level)
        reopened += level
    edges = [
        edge
        for chunk in _chunks(reopened)
        for edge in dependency_rows()
        .filter(child_id__in=chunk)
        .values_list("pk", "parent_id", "child_id")
        if edge[1] in opened
    ]
    for chunk in _chunks([edge[0] for edge in edges]):
        dependency_rows().filter(pk__in=chunk).update(parent_outcome=None)
    for chunk in _chunks(sorted({edge[1] for edge in edges})):
        task_rows().filter(pk__in=chunk).update(has_dependents=True)
    counted: dict[int, list[int]] = defaultdict(list)
    for pk, count in Counter(edge[2] for edge in edges).items():
        counted[count].append(pk)
    for count, ids in counted.items():
        for chunk in _chunks(ids):
            task_rows().filter(pk__in=chunk).update(
                status=Task.STATUS_WAITING,
                blocked_by=F("blocked_by") + count,
                finished_at=None,
                updated_at=Now(),
            )
    return reopened


def _cancelled_because_of(parents: Sequence[int], known: Collection[int]) -> list[int]:
    told = attempt_rows().filter(task=OuterRef("pk"), error_type=_DEPENDENCY_FAILED)
    children = dependency_rows().filter(parent_id__in=parents).values("child_id")
    rows = task_rows().filter(Exists(told), pk__in=children, status=Task.STATUS_CANCELLED)
    locked = rows.order_by("pk").select_for_update(no_key=True, of=("self",))
    return [pk for pk in locked.values_list("pk", flat=True) if pk not in known]


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
