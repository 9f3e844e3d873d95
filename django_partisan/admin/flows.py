"""The admin of flows: how far each has come, its tasks, and what can be done with it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from django_partisan.admin import flow_actions
from django_partisan.admin.lists import CappedPaginator
from django_partisan.admin.rendering import NOTHING, badge, block, natural, with_note
from django_partisan.admin.task_links import first_by_id, task_link, task_list
from django_partisan.lifecycle.flow_progress import counts_of, progress_by, tasks_of
from django_partisan.models import Flow, FlowProgress, Task

MAX_TASKS: Final = 100
"""Tasks that the page of a flow names."""
MAX_DRAWN: Final = 2_000
"""The most tasks of which a flow is drawn."""

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Flow]
else:
    _ModelAdmin = admin.ModelAdmin


class FlowList(ChangeList):
    """A page of flows, with how far each has come."""

    def get_results(self, request: HttpRequest) -> None:
        """Count the tasks of the whole page at once."""
        super().get_results(request)
        self.result_list: Any = list(self.result_list)
        counts = counts_of(self.result_list)
        for flow in self.result_list:
            flow.counts = counts[flow.pk]


@admin.register(Flow)
class FlowAdmin(_ModelAdmin):
    """Flows are looked at, cancelled and retried here, but never edited."""

    list_display = ("id", "called", "standing", "created")
    list_display_links = ("id", "called")
    list_per_page = 25
    sortable_by = ()
    ordering = ("-id",)
    show_full_result_count = False
    paginator: ClassVar[Any] = CappedPaginator
    search_fields = ("name",)
    actions = (flow_actions.cancel, flow_actions.retry_failed, flow_actions.retry_from_there)
    fieldsets = (
        (None, {"fields": ("called", "standing", "statuses", "created")}),
        ("At its end", {"fields": ("on_success", "on_complete")}),
        ("Tasks", {"fields": ("tasks",)}),
        ("Drawing", {"fields": ("mermaid",), "classes": ("collapse",)}),
    )
    help_texts: Final = {
        "statuses": "Each leads to the tasks of the flow that are in it.",
        "on_success": "Runs once all others have finished.",
        "on_complete": "Runs once all others have ended, however they did.",
        "mermaid": "A flowchart in the language of Mermaid; equal neighbours are one node.",
    }

    class Media:
        css: ClassVar[Any] = {"all": ("django_partisan/admin.css",)}

    def get_form(self, *args: Any, **kwargs: Any) -> Any:
        """Explain the fields to operators."""
        return super().get_form(*args, **kwargs, help_texts=self.help_texts)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[FlowList]:
        """Show pages of flows with what is counted for all of a page at once."""
        return FlowList

    def get_object(self, *args: Any, **kwargs: Any) -> Flow | None:
        """Count the tasks of a flow once for its whole page."""
        flow: Any = super().get_object(*args, **kwargs)
        if flow is not None:
            flow.counts = counts_of([flow])[flow.pk]
        return flow  # type: ignore[no-any-return]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds flows by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Flow | None = None) -> bool:
        """Nobody edits flows by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Flow | None = None) -> bool:
        """Nobody deletes flows: their tasks would not know any more what they belong to."""
        return False

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Say whether the user may cancel and retry flows: Django's "change" permission."""
        return bool(request.user.has_perm("django_partisan.change_flow"))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add what can be done with the flow."""
        flow = context.get("original")
        if isinstance(flow, Flow) and self.has_act_permission(request):
            standing = _progress(flow)
            context["can_cancel"] = not standing.is_done
            context["can_retry"] = standing.failed > 0
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    @admin.display(description="name")
    def called(self, flow: Flow) -> str:
        """Its name, or its number where it has none."""
        return str(flow)

    @admin.display(description="progress")
    def standing(self, flow: Flow) -> SafeString:
        """How many of its tasks have ended; below it what went wrong."""
        stands = _progress(flow)
        wrong = ((stands.failed, "failed"), (stands.cancelled, "cancelled"))
        note = ", ".join(f"{count:,} {what}" for count, what in wrong if count)
        kind = "failure" if stands.failed else "plain"
        return with_note(f"{stands.done:,} / {stands.total:,}", note, kind)

    @admin.display(description="tasks by status")
    def statuses(self, flow: Flow) -> str | SafeString:
        """How many of its tasks are in each status."""
        address = reverse(f"{self.admin_site.name}:django_partisan_task_changelist")
        counts = _counts(flow)
        links = (
            (
                f"{address}?flow_id={flow.pk}&status__exact={status.value}",
                badge(f"{counts[status]:,} {status.label.lower()}", status),
            )
            for status in Task.Status
            if counts[status]
        )
        return format_html_join(" ", '<a href="{}">{}</a>', links) or NOTHING

    @admin.display(description="created")
    def created(self, flow: Flow) -> str | SafeString:
        """When it was stored."""
        return natural(flow.created_at)

    @admin.display(description="on success")
    def on_success(self, flow: Flow) -> str | SafeString:
        """The task that runs when all has finished."""
        return self._callback(flow.on_success_id)

    @admin.display(description="on complete")
    def on_complete(self, flow: Flow) -> str | SafeString:
        """The task that runs when all has ended."""
        return self._callback(flow.on_complete_id)

    @admin.display(description="in the order of their ids")
    def tasks(self, flow: Flow) -> str | SafeString:
        """Its first tasks."""
        tasks = first_by_id(tasks_of(flow), MAX_TASKS)
        left = _counts(flow).total() - len(tasks)
        more = f"and {left:,} more" if left > 0 else ""
        return task_list(self.admin_site, tasks, more) if tasks else NOTHING

    @admin.display(description="Mermaid")
    def mermaid(self, flow: Flow) -> str | SafeString:
        """It as a flowchart, unless it is too large for that."""
        if _counts(flow).total() > MAX_DRAWN:
            return f"only flows of at most {MAX_DRAWN:,} tasks are drawn here"
        return block(flow.to_mermaid())

    def _callback(self, pk: int | None) -> str | SafeString:
        if pk is None:
            return NOTHING
        found = first_by_id(Task.objects.filter(pk=pk), 1)
        return task_link(self.admin_site, found[0]) if found else f"task {pk}, which is gone"


def _counts(flow: Flow) -> Counter[str]:
    counts: Counter[str] = flow.counts  # type: ignore[attr-defined]
    return counts


def _progress(flow: Flow) -> FlowProgress:
    return progress_by(flow, _counts(flow))
