"""Tasks as links, each with its status, on the pages of other tasks and of flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.contrib.admin import AdminSite
from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from django_partisan.admin.rendering import badge, short_name, titled
from django_partisan.models import Task

_READ: Final = ("pk", "status", "processor_class", "verbose_name")


def first_by_id(tasks: QuerySet[Task], count: int) -> list[Task]:
    """Read the first tasks of a set, no more of each than a link shows."""
    # By the bare id, a planner may look for a few rows among all that are older than those.
    return list(tasks.order_by(F("pk") + 0).only(*_READ)[:count])


def task_list(site: AdminSite, tasks: Sequence[Task], more: str = "") -> SafeString:
    """Return tasks as a list of links, with a last line where there are more."""
    lines = format_html_join("", "<li>{}</li>", ((task_link(site, task),) for task in tasks))
    last = format_html("<li>{}</li>", more) if more else ""
    return format_html('<ul class="partisan-tasks">{}{}</ul>', lines, last)


def task_link(site: AdminSite, task: Task) -> SafeString:
    """Return a task's id and name as a link to its page, with its status."""
    name = titled(task.verbose_name or short_name(task.processor_class), task.processor_class)
    address = reverse(f"{site.name}:django_partisan_task_change", args=[task.pk])
    status = badge(task.get_status_display(), task.status)
    return format_html('<a href="{}">#{} {}</a> {}', address, task.pk, name, status)
