"""What tells tasks apart for people, as the admin shows it, and the filter by a tag."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from django_partisan.admin.rendering import NOTHING, short_name, titled, with_note
from django_partisan.config.labels import checked_tags
from django_partisan.models import Task


class TagFilter(admin.SimpleListFilter):
    """Filters by the tag that a link on a task's page names; nothing lists all tags there are."""

    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterator[tuple[str, str]]:
        """Offer the tag that is asked for, so that it can be taken away again."""
        if asked := self.value():
            yield asked, asked

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """Keep the tasks with this tag, by its index."""
        asked = self.value()
        if not asked:
            return queryset
        try:
            return queryset.filter(tags__has_tags=checked_tags([asked]))
        except ValueError:
            return queryset.none()  # No task can have it.


def named(task: Task, arguments: str) -> SafeString:
    """Return what a list calls a task: its own name if it has one, and what it is below that."""
    processor = short_name(task.processor_class)
    name = titled(task.verbose_name or processor, task.processor_class)
    return with_note(name, f"{processor}: {arguments}" if task.verbose_name else arguments)


def shown_creator(task: Task, site: admin.AdminSite) -> str | SafeString:
    """Return who created a task, as a link where this admin has a page for it."""
    if task.creator_key is None:
        return NOTHING
    creator = task.creator
    if creator is None:
        return f"{task.creator_key}, which is gone"
    address = _address_of(creator, site)
    return format_html('<a href="{}">{}</a>', address, creator) if address else str(creator)


def shown_tags(task: Task, site: admin.AdminSite) -> str | SafeString:
    """Return the tags, each as a link to all tasks that have it."""
    address = reverse(f"{site.name}:django_partisan_task_changelist")
    links = ((f"{address}?{urlencode({'tag': tag})}", tag) for tag in task.tags)
    return format_html_join(" ", '<a href="{}">{}</a>', links) or NOTHING


def _address_of(obj: Model, site: admin.AdminSite) -> str:
    meta = obj._meta  # noqa: SLF001 - Django's documented interface
    try:
        return reverse(f"{site.name}:{meta.app_label}_{meta.model_name}_change", args=[obj.pk])
    except NoReverseMatch:
        return ""
