"""The admin of tasks: a list that stays cheap among millions, and a page that tells everything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import BooleanField, Case, QuerySet, Value, When
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from django_partisan import lifecycle
from django_partisan.admin import actions
from django_partisan.admin.attempts import shown_attempts
from django_partisan.admin.dependencies import WithDependencies
from django_partisan.admin.in_process import holders_of, position
from django_partisan.admin.labels import TagFilter, named, shown_creator, shown_tags
from django_partisan.admin.lists import (
    MAX_FILTERED,
    MAX_SEARCHED,
    CappedPaginator,
    CreatedFilter,
    FlowFilter,
    ProcessorFilter,
    QueueFilter,
    StatusFilter,
    TaskList,
    configured_queues,
    search,
)
from django_partisan.admin.managers import liveness
from django_partisan.admin.objects import link_to
from django_partisan.admin.outputs import shown_outputs
from django_partisan.admin.pauses import PausedFilter, paused_tasks
from django_partisan.admin.progress import (
    checkpoint_in_full,
    progress_in_full,
    progress_in_short,
    progress_of,
)
from django_partisan.admin.rendering import (
    NOTHING,
    badge,
    duration,
    exact,
    json_block,
    natural,
    titled,
    with_note,
)
from django_partisan.admin.stored import shown_arguments, shown_result
from django_partisan.config.wording import counted
from django_partisan.exceptions import ProcessorClassException
from django_partisan.models import Task
from django_partisan.registry.registry import registry

# Those that only a link names come first: the others look among what these leave.
FILTERS: Final = (FlowFilter, TagFilter, PausedFilter, QueueFilter, CreatedFilter, ProcessorFilter)


@admin.register(Task)
class TaskAdmin(WithDependencies):
    """Tasks are looked at, requeued, cancelled and deleted here, but never edited."""

    list_display = ("id", "processor", "status_line", "queue_line", "created")
    list_filter = (*FILTERS[:2], ("status", StatusFilter), *FILTERS[2:])
    sortable_by = ("id",)
    ordering = ("-id",)
    list_select_related = False
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = CappedPaginator
    # Offers the search box; get_search_results() does the work.
    search_fields = ("id", "processor_class")
    search_help_text = (
        "A number finds the task with that id; text is looked for in the names, processors and "
        f"arguments of the newest {MAX_SEARCHED:,} tasks. The filters by creation and processor "
        f"look at the newest {MAX_FILTERED:,} that the others leave."
    )
    actions = (actions.requeue, actions.cancel, actions.delete_selected)
    fieldsets = (
        (None, {"fields": ("processor_class", "code", ("status_badge", "queue", "priority"))}),
        (None, {"fields": (("verbose_name", "creator", "tags_shown"),)}),
        ("Arguments and result", {"fields": ("arguments_shown", "result_shown")}),
        ("Timeline", {"fields": ("timeline", ("duration", "holder"), "repeats")}),
        (
            "Counters",
            {"fields": (("attempts", "retries", "postpones"), ("rescues", "crashes", "lease"))},
        ),
    )

    help_texts: Final = {
        "object": "The object whose method it calls, as it is now.",
        "code": "Whether the code of this installation can run it.",
        "queue": "Managers that serve this queue run it.",
        "priority": "Of what is due in a queue, the lowest number runs first.",
        "verbose_name": "What the code that has enqueued it calls it.",
        "creator": "The object for which it was enqueued, as it is now.",
        "tags_shown": "Each leads to all tasks that have it.",
        "blocked_by": "Of what it was stored after, so much has not ended; a group counts as one.",
        "waits_for": "What has not ended yet of what it comes after.",
        "waited_for_by": "What waits for its end, or has waited.",
        "progress_shown": "How far it is, by its own account.",
        "checkpoint_shown": "From here it goes on when it is tried again.",
        "resumptions": "Errors that have cost no retry, since it had come further.",
        "repeats": "What comes after it, once it has finished. Cancel it to end that.",
        "duration": "Of the last attempt, once that has ended.",
        "attempts": "How often it was tried since it was stored or put back in its queue.",
        "retries": "Tries after an error.",
        "postpones": "How often the task itself asked to run later.",
        "rescues": "How often it went back to its queue because the process that had it was gone.",
        "crashes": "Rescues while it ran: perhaps it is what ends its worker.",
        "lease": "The number of the present claim, as messages in the log name it.",
    }

    class Media:
        css: ClassVar[Any] = {"all": ("django_partisan/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        """Read no JSON with the rows: it is large, and a broken one must not hide the rest."""
        queryset = super().get_queryset(request).defer("arguments", "result", "extra")
        paused = Case(When(paused_tasks(), then=Value(True)), default=False, output_field=_BOOLEAN)
        return queryset.annotate(database_now=Now(), is_paused=paused)

    def get_form(self, *args: Any, **kwargs: Any) -> Any:
        """Explain the fields to operators; the model explains them to programmers."""
        return super().get_form(*args, **kwargs, help_texts=self.help_texts)

    def get_fieldsets(self, request: HttpRequest, obj: Task | None = None) -> Any:
        """Show the object as well, of a task that has one, and what a task has told of itself."""
        (title, first), *rest = super().get_fieldsets(request, obj)
        if obj is not None and (told := progress_of([obj]).get(obj.pk)):
            obj.told = told  # type: ignore[attr-defined]
            rest.insert(1, ("Progress", {"fields": _PROGRESS}))
        if obj is None or obj.object_key is None:
            return [(title, first), *rest]
        return [(title, {**first, "fields": (*first["fields"], "object")}), *rest]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TaskList]:
        """Show pages of tasks with what is read for all of a page at once."""
        return TaskList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Task], search_term: str
    ) -> tuple[QuerySet[Task], bool]:
        """Search within bounds; a task is never found twice."""
        return (search(queryset, search_term) if search_term.strip() else queryset), False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Filter by nothing but what the page offers: arguments could be guessed in the address."""
        return lookup in _LOOKUPS

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds tasks by hand: processors do, with their arguments checked."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        """Nobody edits tasks by hand: every move has its verb in the lifecycle."""
        return False

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        """Say whether the user may put tasks back in their queue: Django's "change" permission."""
        return bool(request.user.has_perm("django_partisan.change_task"))

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Say whether the user may cancel tasks: Django's "change" permission."""
        return bool(request.user.has_perm("django_partisan.change_task"))

    def has_delete_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        """Refuse to delete a task in process, whoever asks: its worker would report to nothing."""
        is_allowed: bool = super().has_delete_permission(request, obj)
        return is_allowed and (obj is None or obj.status != Task.STATUS_IN_PROCESS)

    def delete_model(self, request: HttpRequest, obj: Task) -> None:
        """Delete one task; refuse when it was claimed since the page was shown."""
        if not lifecycle.delete([obj.pk]):
            raise PermissionDenied(f"Task {obj.pk} is in process now, or something points at it.")

    def get_deleted_objects(
        self, objs: QuerySet[Task] | Sequence[Task], request: HttpRequest
    ) -> tuple[list[Any], dict[Any, int], set[str], list[Any]]:
        """Return what Django shows before it deletes; of several tasks, the free ones may go."""
        deleted, counts, forbidden, protected = super().get_deleted_objects(objs, request)
        if protected and len(objs) > 1:
            told = "Tasks that something points at will be kept; all others can be deleted."
            self.message_user(request, told, messages.WARNING)
            protected = []
        return deleted, counts, forbidden, protected

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the task's attempts and output, newest first, and what can be done with it."""
        task = context.get("original")
        if isinstance(task, Task):
            context["attempts"], context["has_more_attempts"] = shown_attempts(task)
            context["outputs"] = shown_outputs(task)
            has_ended = task.status in Task.TERMINAL_STATUSES
            context["can_requeue"] = has_ended and self.has_requeue_permission(request)
            context["can_cancel"] = not has_ended and self.has_cancel_permission(request)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    @admin.display(description="processor")
    def processor(self, task: Task) -> SafeString:
        """The task's own name, or its processor without the module; below it the arguments."""
        return named(task, task.in_short.arguments)  # type: ignore[attr-defined]

    @admin.display(description="queue")
    def queue_line(self, task: Task) -> SafeString:
        """The queue, and the priority below it."""
        return with_note(self.queue(task), f"priority {task.priority}")

    @admin.display(description="status")
    def status_line(self, task: Task) -> SafeString:
        """The status; below it when the task is due, since when it runs, what went wrong."""
        note = with_note(self.status_badge(task), self._note(task))
        note = with_note(note, progress_in_short(task, task.told))  # type: ignore[attr-defined]
        return with_note(note, task.in_short.error, "failure")  # type: ignore[attr-defined]

    def _note(self, task: Task) -> str | SafeString:
        if task.status == Task.STATUS_NEW:
            return format_html("due {}", natural(task.execute_after))
        if task.status == Task.STATUS_WAITING:
            return "for others to end"
        if task.status == Task.STATUS_IN_PROCESS:
            return titled(*position(task, task.holder))  # type: ignore[attr-defined]
        tries = counted(task.attempts, "attempt") if task.attempts > 1 else ""
        took = "" if task.started_at is None else f"took {self.duration(task)}"
        return ", ".join(filter(None, (took, tries)))

    @admin.display(description="code")
    def code(self, task: Task) -> str:
        """Whether today's code knows the processor, and what it says when not."""
        try:
            registry.get_processor_class_by_name(task.processor_class)
        except ProcessorClassException as error:
            return str(error)
        return "known"

    @admin.display(description="object")
    def object(self, task: Task) -> str | SafeString:
        """The object whose method it calls; a link where this site shows its model."""
        return link_to(self.admin_site, task.object_key or "")

    @admin.display(description="queue")
    def queue(self, task: Task) -> str:
        """The queue, marked when the settings do not have it: then no manager serves it."""
        is_known = task.queue_name in configured_queues()
        return task.queue_name if is_known else f"{task.queue_name} (not in settings)"

    @admin.display(description="status")
    def status_badge(self, task: Task) -> SafeString:
        """The status on its colour."""
        if getattr(task, "is_paused", False):
            return badge("Paused", "paused")
        return badge(task.get_status_display(), task.status)

    @admin.display(description="duration")
    def duration(self, task: Task) -> str:
        """How long the last attempt took, or takes so far."""
        if task.started_at is None or task.status in (Task.STATUS_NEW, Task.STATUS_WAITING):
            return NOTHING
        until = task.finished_at or task.database_now  # type: ignore[attr-defined]
        return duration(until - task.started_at)

    @admin.display(description="repeats")
    def repeats(self, task: Task) -> str:
        """How far apart the tasks of its chain are, and until when, while it is alive."""
        if task.repeat_seconds is None:
            return NOTHING
        every = f"every {duration(timedelta(seconds=task.repeat_seconds))}"
        until = task.repeat_until
        return every if until is None else f"{every}, until {exact(until)}"

    @admin.display(description="created by")
    def creator(self, task: Task) -> str | SafeString:
        """The object that has created it."""
        return shown_creator(task, self.admin_site)

    @admin.display(description="tags")
    def tags_shown(self, task: Task) -> str | SafeString:
        """Its tags, each of which leads to all tasks that have it."""
        return shown_tags(task, self.admin_site)

    @admin.display(description="created")
    def created(self, task: Task) -> str | SafeString:
        """When the task was enqueued."""
        return natural(task.created_at)

    @admin.display(description="arguments")
    def arguments_shown(self, task: Task) -> str | SafeString:
        """The arguments, indented."""
        return json_block(shown_arguments(task))

    @admin.display(description="result")
    def result_shown(self, task: Task) -> str | SafeString:
        """What the processor returned, indented."""
        return json_block(shown_result(task))

    @admin.display(description="progress")
    def progress_shown(self, task: Task) -> str | SafeString:
        """How far it is, by its own account."""
        return progress_in_full(task, task.told)  # type: ignore[attr-defined]

    @admin.display(description="checkpoint")
    def checkpoint_shown(self, task: Task) -> str | SafeString:
        """From where it would go on, indented."""
        return checkpoint_in_full(task, task.told)  # type: ignore[attr-defined]

    @admin.display(description="resumptions")
    def resumptions(self, task: Task) -> int:
        """How often an error has cost no retry, since there was progress."""
        return int(task.told.resumptions)  # type: ignore[attr-defined]

    @admin.display(description="moments")
    def timeline(self, task: Task) -> SafeString:
        """The moments that the task went through, in their order in time."""
        labels = _MOMENTS | (_OF_WAITING if task.status == Task.STATUS_WAITING else {})
        moments = [(getattr(task, name), label) for name, label in labels.items()]
        known = sorted((moment, label) for moment, label in moments if moment is not None)
        rows = format_html_join(
            "",
            "<tr><th>{}</th><td>{}</td><td>{}</td></tr>",
            ((label, exact(moment), natural(moment)) for moment, label in known),
        )
        return format_html('<table class="partisan-timeline">{}</table>', rows)

    @admin.display(description="held by")
    def holder(self, task: Task) -> str | SafeString:
        """The manager that holds the task now, whether it lives, and where it has the task."""
        if task.manager_id is None:
            return "no manager"
        manager = holders_of([task]).get(task.manager_id)
        if manager is None:
            return f"manager {task.manager_id}, which is gone; its tasks will be rescued"
        url = reverse(
            f"{self.admin_site.name}:django_partisan_managerprocess_change", args=[manager.pk]
        )
        where = ": ".join(position(task, manager))
        return format_html('<a href="{}">{}</a> {} {}', url, manager, liveness(manager), where)


_PROGRESS = ("progress_shown", "checkpoint_shown", "resumptions")
_LOOKUPS = {"id", "id__exact", "id__in", "pk", "pk__in", "status", "status__exact"} | {
    filter_.parameter_name for filter_ in FILTERS
}
_BOOLEAN = BooleanField()
_MOMENTS = {
    "created_at": "created",
    "repeat_slot": "its slot in a chain",
    "scheduled_for": "tick of its schedule",
    "execute_after": "due",
    "expires_at": "expires",
    "claimed_at": "claimed",
    "started_at": "started",
    "cancel_requested_at": "cancel asked for",
    "finished_at": "ended",
    "updated_at": "last changed",
}
_OF_WAITING = {"execute_after": "due no earlier than"}
