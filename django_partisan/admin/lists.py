"""The paginator, the filters and the search of the task list, cheap among millions of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast, Now
from django.http import HttpRequest
from django.utils.functional import cached_property

from django_partisan.admin.in_process import holders_of
from django_partisan.admin.progress import progress_of
from django_partisan.admin.rendering import short_name
from django_partisan.admin.stored import shown_in_short
from django_partisan.config.const import DEFAULT_QUEUE_NAME
from django_partisan.exceptions import ConfigurationError
from django_partisan.models import Flow, Task
from django_partisan.payloads.masking import open_names
from django_partisan.registry.registry import registry
from django_partisan.settings import MAX_QUEUE_NAME_LENGTH, PARTISAN_CONFIG

MAX_COUNTED: Final = 10_000
"""Tasks that a list counts and pages through; older ones are found by filters and search."""
MAX_SEARCHED: Final = 10_000
"""Newest tasks whose text a search looks at."""
MAX_FILTERED: Final = 100_000
"""Newest tasks, of what other filters leave, among which one without an index looks."""
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


class TaskList(ChangeList):
    """A page of tasks, with what it shows of them beside their rows."""

    def get_results(self, request: HttpRequest) -> None:
        """Read arguments, errors and managers for the whole page at once, each cut short."""
        super().get_results(request)
        self.result_list: Any = list(self.result_list)
        shown = shown_in_short(self.result_list)
        holders = holders_of(self.result_list)
        told = progress_of(self.result_list)
        for task in self.result_list:
            task.in_short = shown[task.pk]
            task.holder = holders.get(task.manager_id)
            task.told = told.get(task.pk)


class StatusFilter(admin.ChoicesFieldListFilter):
    """Filters by status; those that wait for others, which no index knows, among the newest."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Keep the tasks in the chosen status."""
        if Task.STATUS_WAITING in (self.lookup_val or ()):
            queryset = _newest(queryset, MAX_FILTERED)
        return super().queryset(request, queryset)


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
        return queryset.filter(_of_queue(asked) | _waiting_of_queue(queryset, asked))


class FlowFilter(admin.SimpleListFilter):
    """Filters by the flow that a link names; nothing lists all flows there are."""

    title = "flow"
    parameter_name = "flow_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterator[tuple[str, str]]:
        """Offer the flow that is asked for, so that it can be taken away again."""
        if asked := self.value():
            flow = Flow.objects.filter(pk__in=filter(None, [_id_in(asked)])).first()
            yield asked, str(flow or asked)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """Keep the tasks of the flow, by its index."""
        asked = self.value()
        if not asked:
            return queryset
        number = _id_in(asked)
        return queryset.none() if number is None else queryset.filter(flow_id=number)


class ProcessorFilter(admin.SimpleListFilter):
    """Filters by a registered processor, among the newest tasks."""

    title = "processor"
    parameter_name = "processor"
    not_registered: Final = "*other*"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterator[tuple[str, str]]:
        """Offer the registered processors, the one that is asked for, and all others together."""
        names = registry.names()
        if (asked := self.value()) and asked not in (*names, self.not_registered):
            names.append(asked)
        common = Counter(map(short_name, names))
        for name in names:
            yield name, name if common[short_name(name)] > 1 else short_name(name)
        yield self.not_registered, "not registered"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """Keep the tasks of the chosen processor, also those stored under its former names."""
        asked = self.value()
        if not asked:
            return queryset
        if "\0" in asked:
            return queryset.none()
        known = registry.classes_by_name()
        newest = _newest(queryset, MAX_FILTERED)
        if asked == self.not_registered:
            return newest.exclude(processor_class__in=known)
        names = [name for name, found in known.items() if found is known.get(asked)]
        return newest.filter(processor_class__in=names or [asked])


class CreatedFilter(admin.SimpleListFilter):
    """Filters by when tasks were enqueued, among the newest ones."""

    title = "creation"
    parameter_name = "created"
    spans: Final = {
        "hour": ("past hour", timedelta(hours=1)),
        "day": ("past 24 hours", timedelta(days=1)),
        "week": ("past 7 days", timedelta(days=7)),
        "month": ("past 30 days", timedelta(days=30)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer spans of time that end now."""
        return [(name, label) for name, (label, _) in self.spans.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """Keep the tasks that were enqueued within the span, on the database's clock."""
        if (asked := self.value()) not in self.spans:
            return queryset
        _, span = self.spans[asked]
        return _newest(queryset, MAX_FILTERED).filter(created_at__gte=Now() - span)


def configured_queues() -> list[str]:
    """Return the queues of the settings, the default one alone when those cannot be read."""
    try:
        return list(PARTISAN_CONFIG)
    except ConfigurationError:
        return [DEFAULT_QUEUE_NAME]


def search(queryset: QuerySet[Task], term: str) -> QuerySet[Task]:
    """Find a task by its id, or by text of name, processor and arguments among the newest tasks."""
    digits = term.strip().removeprefix("#")
    if digits.isascii() and digits.isdigit():
        number = _id_in(digits)
        return queryset.none() if number is None else queryset.filter(pk=number)
    newest = _newest(queryset, MAX_SEARCHED)
    return newest.alias(arguments_text=Cast("arguments", TextField())).filter(
        Q(processor_class__icontains=term)
        | Q(verbose_name__icontains=term)
        | (_has_no_secrets() & Q(arguments_text__icontains=term))
    )


def _id_in(digits: str) -> int | None:
    """Return the number that a text says; None where no row can have it."""
    is_number = digits.isascii() and digits.isdigit()
    number = int(digits[:20]) if is_number else _MAX_ID + 1
    return number if number <= _MAX_ID else None


def _newest(queryset: QuerySet[Task], count: int) -> QuerySet[Task]:
    """Keep the newest tasks only: looking among them costs no more, however many there are."""
    return queryset.filter(pk__gte=_oldest_of(queryset, count))


def _oldest_of(queryset: QuerySet[Task], newest: int) -> int:
    ids = queryset.order_by("-pk").values_list("pk", flat=True)
    return next(iter(ids[newest - 1 : newest]), 0)


def _has_no_secrets() -> Q:
    # Whoever may search could guess a secret letter by letter otherwise.
    names = open_names()
    return Q() if names is None else Q(processor_class__in=names)


def _waiting_of_queue(queryset: QuerySet[Task], queue_name: str) -> Q:
    # No index knows those that wait for others by their queue: among the newest that is cheap.
    oldest = _oldest_of(queryset, MAX_FILTERED)
    return Q(status="waiting", queue_name=queue_name, pk__gte=oldest)


def _of_queue(queue_name: str) -> Q:
    # Spelled out by status, each arm is a range of a partial index, so a queue with few tasks is
    # found without reading the others.
    return (
        Q(status="new", queue_name=queue_name)
        | Q(status="in_process", queue_name=queue_name)
        | Q(status__in=Task.TERMINAL_STATUSES, queue_name=queue_name)
    )
