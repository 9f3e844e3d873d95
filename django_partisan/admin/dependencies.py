"""Who waits for whom, as the page of a task shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from django_partisan.admin.rendering import NOTHING
from django_partisan.admin.task_links import first_by_id, task_list
from django_partisan.models import Dependency, Task

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Task]
else:
    _ModelAdmin = admin.ModelAdmin

MAX_SHOWN: Final = 10
"""Tasks that a page names of those that a task waits for, or that wait for it."""
MAX_COUNTED: Final = 1_000
"""Tasks that it counts of them."""
_MAX_JOINTS: Final = 100
JOINTS: Final = Q(processor_class="", flow_id__isnull=False)
"""The rows that join groups of a flow: they are no tasks to anybody who looks at a page."""


class WithDependencies(_ModelAdmin):
    """Shows of a task its flow, what it waits for, and what waits for it."""

    dependencies = (
        "Flow",
        {"fields": ("flow", "blocked_by", "waits_for", "waited_for_by")},
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        """Leave out what joins groups of a flow."""
        return super().get_queryset(request).exclude(JOINTS)

    def get_fieldsets(self, request: HttpRequest, obj: Task | None = None) -> Any:
        """Add them to a task that has any of these."""
        fieldsets = list(super().get_fieldsets(request, obj))
        return [*fieldsets, self.dependencies] if _has_dependencies(obj) else fieldsets

    @admin.display(description="flow")
    def flow(self, task: Task) -> str | SafeString:
        """The flow that it belongs to."""
        if task.flow_id is None:
            return NOTHING
        flow = task.flow
        if flow is None:
            return f"flow {task.flow_id}, which is gone"
        address = reverse(f"{self.admin_site.name}:django_partisan_flow_change", args=[flow.pk])
        return format_html('<a href="{}">{}</a>', address, flow)

    @admin.display(description="waits for")
    def waits_for(self, task: Task) -> str | SafeString:
        """The tasks that a waiting one waits for."""
        if task.status != Task.STATUS_WAITING:
            return NOTHING
        edges = Dependency.objects.filter(child_id__in=[task.pk, *_joints_before(task)])
        parents = Task.objects.filter(pk__in=edges.values("parent_id"))
        return self._shown(parents.exclude(status__in=Task.TERMINAL_STATUSES))

    @admin.display(description="before")
    def waited_for_by(self, task: Task) -> str | SafeString:
        """The tasks that wait for it, or have waited."""
        if not task.has_dependents:
            return NOTHING
        edges = Dependency.objects.filter(parent_id__in=[task.pk, *_joints_after(task)])
        return self._shown(Task.objects.filter(pk__in=edges.values("child_id")))

    def _shown(self, tasks: QuerySet[Task]) -> str | SafeString:
        tasks = tasks.exclude(JOINTS)
        first = first_by_id(tasks, MAX_SHOWN + 1)
        more = _and_more(tasks) if len(first) > MAX_SHOWN else ""
        return task_list(self.admin_site, first[:MAX_SHOWN], more) if first else NOTHING


def _has_dependencies(task: Task | None) -> bool:
    return task is not None and (
        task.flow_id is not None or task.has_dependents or task.status == Task.STATUS_WAITING
    )


def _joints_before(task: Task) -> Iterable[int]:
    edges = Dependency.objects.filter(child_id=task.pk)
    return _joints(task, edges.values("parent_id"))


def _joints_after(task: Task) -> Iterable[int]:
    edges = Dependency.objects.filter(parent_id=task.pk)
    return _joints(task, edges.values("child_id"))


def _joints(task: Task, ids: Any) -> Iterable[int]:
    """Return which of these are joints: what a task waits for stands behind them, never further."""
    if task.flow_id is None:
        return []
    joints = Task.objects.filter(pk__in=ids, processor_class="", flow_id=task.flow_id)
    return joints.values_list("pk", flat=True)[:_MAX_JOINTS]


def _and_more(tasks: QuerySet[Task]) -> str:
    count = tasks.order_by().values("pk")[: MAX_COUNTED + 1].count()
    if count > MAX_COUNTED:
        return f"and more than {MAX_COUNTED - MAX_SHOWN:,} others"
    return f"and {count - MAX_SHOWN:,} more"
