"""How far flows have come: counted on demand, by one statement for however many flows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from django.db.models import Count, QuerySet

from django_partisan.lifecycle.rows import task_rows
from django_partisan.models import Flow, FlowProgress, Task


def members_of(flow: Flow) -> QuerySet[Task]:
    """Return a flow's rows, with the joints between its groups."""
    return task_rows().filter(flow_id=flow.pk)


def tasks_of(flow: Flow) -> QuerySet[Task]:
    """Return a flow's tasks in the order in which they were stored, without its joints."""
    return members_of(flow).exclude(processor_class="").order_by("pk")


def progress_of(flow: Flow) -> FlowProgress:
    """Count a flow's tasks by one statement. What was deleted has finished."""
    return progress_by(flow, counts_of([flow])[flow.pk])


def counts_of(flows: Iterable[Flow]) -> dict[int, Counter[str]]:
    """Count the tasks of flows by status, by one statement; return the counts by flow."""
    counts: dict[int, Counter[str]] = {flow.pk: Counter() for flow in flows}
    rows = task_rows().filter(flow_id__in=list(counts)).exclude(processor_class="").order_by()
    counted = rows.values_list("flow_id", "status").annotate(Count("pk"))
    for flow_id, status, count in counted if counts else ():
        counts[flow_id][status] = count
    return counts


def progress_by(flow: Flow, counts: Counter[str]) -> FlowProgress:
    """Return how far a flow is, of whose tasks so many are in each status."""
    deleted = max(0, flow.total - counts.total())
    return FlowProgress(
        total=max(flow.total, counts.total()),
        done=sum(counts[status] for status in Task.TERMINAL_STATUSES) + deleted,
        failed=counts[Task.STATUS_ERROR],
        cancelled=counts[Task.STATUS_CANCELLED],
        running=counts[Task.STATUS_IN_PROCESS],
    )
