"""The paginator, the filter and the search of the task list, cheap among millions of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils.functional import cached_property

from django_partisan.config.const import DEFAULT_QUEUE_NAME
from django_partisan.exceptions import ConfigurationError
from django_partisan.models import Task
from django_partisan.payloads.masking import open_names
from django_partisan.settings import MAX_QUEUE_NAME_LENGTH, PARTISAN_CONFIG

MAX_COUNTED: Final = 10_000
"""Tasks that a list counts and pages through; older ones are found by filters and search."""
MAX_SEARCHED: Final = 10_000
"""Newest tasks whose text a search looks at."""
_MAX_ID: Final = 2**63 - 1

if TYPE_CHECKING:
    _Paginator = Paginator[Task]
else:
    _Paginator = Paginator


class CappedPaginator(_Paginator):
    """Counts up to MAX_COUNTED tasks and no further."""

    @cached_property
    def count(self) -> int:
        """The number of tasks, or MAX_COUNTED when there are more."""
        return self._counted - self.is_capped

    @cached_property
    def is_capped(self) -> bool:
        """Whether there are more tasks than were counted."""
        return self._counted > MAX_COUNTED

    @cached_property
    def _counted(self) -> int:
        tasks: Any = self.object_list
        return int(tasks.order_by().values("pk")[: MAX_COUNTED + 1].count())


class QueueFilter(admin.SimpleListFilter):
    """Filters by a queue of the settings: asking the table for its queues would read all of it."""

    title = "queue"
    parameter_name = "queue"
    not_configured: Final = "*other*"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterator[tuple[str, str]]:
        """Offer the configured queues, the one that is asked for, and all others together."""
        names = dict.fromkeys(configured_queues())
        if (asked := self.value()) and asked != self.not_configured:
            names[asked] = None
        yield from ((name, name) for name in names)
        yield self.not_configured, "not in settings"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """Keep the tasks of the chosen queue."""
        asked = self.value()
        if not asked:
            return queryset
        if asked == self.not_configured:
            return queryset.exclude(queue_name__in=configured_queues())
        if len(asked) > MAX_QUEUE_NAME_LENGTH or "\0" in asked:
            return queryset.none()
        return queryset.filter(_of_queue(asked))


def configured_queues() -> list[str]:
    """Return the queues of the settings, the default one alone when those cannot be read."""
    try:
        return list(PARTISAN_CONFIG)
    except ConfigurationError:
        return [DEFAULT_QUEUE_NAME]


def search(queryset: QuerySet[Task], term: str) -> QuerySet[Task]:
    """Find a task by its id, or by text of processor and arguments among the newest tasks."""
    digits = term.strip().removeprefix("#")
    if digits.isascii() and digits.isdigit():
        number = int(digits[:20])
        return queryset.filter(pk=number) if number <= _MAX_ID else queryset.none()
    newest = queryset.order_by("-pk").values_list("pk", flat=True)
    oldest_searched = next(iter(newest[MAX_SEARCHED - 1 : MAX_SEARCHED]), 0)
    return queryset.alias(arguments_text=Cast("arguments", TextField())).filter(
        Q(processor_class__icontains=term)
        | (_has_no_secrets() & Q(arguments_text__icontains=term)),
        pk__gte=oldest_searched,
    )


def _has_no_secrets() -> Q:
    # Whoever may search could guess a secret letter by letter otherwise.
    names = open_names()
    return Q() if names is None else Q(processor_class__in=names)


def _of_queue(queue_name: str) -> Q:
    # Spelled out by status, each arm is a range of a partial index, so a queue with few tasks is
    # found without reading the others.
    return (
        Q(status="new", queue_name=queue_name)
        | Q(status="in_process", queue_name=queue_name)
        | Q(status__in=Task.TERMINAL_STATUSES, queue_name=queue_name)
    )
