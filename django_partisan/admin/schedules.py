"""The admin of schedules: when they run next, what keeps them from it, and adding one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from django_partisan.admin.rendering import (
    NOTHING,
    badge,
    exact,
    json_block,
    natural,
    short_name,
    titled,
    with_note,
)
from django_partisan.config.wording import counted
from django_partisan.exceptions import PartisanException
from django_partisan.models import StoredSchedule
from django_partisan.payloads.encoding import encode_arguments
from django_partisan.payloads.masking import has_secrets
from django_partisan.registry.registry import registry

SHOWN_RUNS: Final = 5
"""The next ticks that a page shows."""
_UNBOUNDED: Final = 2**31

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[StoredSchedule]
    _ModelForm = forms.ModelForm[StoredSchedule]
else:
    _ModelAdmin = admin.ModelAdmin
    _ModelForm = forms.ModelForm


class ScheduleForm(_ModelForm):
    """What a person says of a schedule; its arguments are those that the processor takes."""

    processor_class = forms.ChoiceField(label="processor")
    every_seconds = forms.IntegerField(
        label="every so many seconds", min_value=0, required=False, help_text="Instead of a line."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.preview: list[str] = []
        """The next ticks, where somebody has asked to see them before saving."""
        if "processor_class" in self.fields:
            self.fields["processor_class"].choices = schedulable()  # type: ignore[attr-defined]

    def clean_every_seconds(self) -> int:
        """Return 0 for an empty field."""
        return self.cleaned_data["every_seconds"] or 0

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc] # Django's own, checks the model
        if "_preview" in self.data and not self.errors:
            runs = self.instance.next_runs(SHOWN_RUNS)
            self.preview = [f"{run:%a %Y-%m-%d %H:%M:%S %Z}" for run in runs]
            self.add_error(None, "It is not saved yet.")


def schedulable() -> list[tuple[str, str]]:
    """Return the processors for which people may add schedules: stored names, and short ones."""
    found = [
        name
        for name in registry.names()
        if getattr(registry.get_processor_class_by_name(name), "SCHEDULABLE", False)
    ]
    return [(name, f"{short_name(name)} ({name.rpartition('.')[0]})") for name in found]


@admin.action(permissions=["change"], description="Pause selected schedules")
def pause(
    model_admin: ScheduleAdmin, request: HttpRequest, queryset: QuerySet[StoredSchedule]
) -> None:
    """Fire nothing of them until somebody resumes them."""
    rows = [row for row in queryset if row.paused_at is None]
    for row in rows:
        row.pause(by=request.user.get_username())
    model_admin.tell(request, rows, "Paused")


@admin.action(permissions=["change"], description="Resume selected schedules")
def resume(
    model_admin: ScheduleAdmin, request: HttpRequest, queryset: QuerySet[StoredSchedule]
) -> None:
    """Let them go on with their next ticks."""
    rows = [row for row in queryset if row.paused_at is not None]
    for row in rows:
        row.resume()
    model_admin.tell(request, rows, "Resumed")


@admin.action(permissions=["run"], description="Run selected schedules now")
def run_now(
    model_admin: ScheduleAdmin, request: HttpRequest, queryset: QuerySet[StoredSchedule]
) -> None:
    """Make a task of each, whatever its plan; say where that cannot be."""
    done = []
    for row in queryset:
        try:
            row.run_now()
        except (PartisanException, TypeError, ValueError) as error:
            model_admin.message_user(request, f"{row}: {error}", messages.ERROR)
        else:
            done.append(row)
    model_admin.tell(request, done, "Run")


@admin.register(StoredSchedule)
class ScheduleAdmin(_ModelAdmin):
    """Schedules of the code are looked at, paused and run here; those of people are edited, too."""

    form = ScheduleForm
    list_display = ("key", "processor", "time", "state", "next_run", "last_run", "counts")
    list_filter = ("origin",)
    ordering = ("key",)
    search_fields = ("key", "processor_class")
    show_facets = admin.ShowFacets.NEVER
    actions = (pause, resume, run_now)
    _said: ClassVar[Any] = (
        *("key", "processor_class", "cron", "every_seconds", "timezone"),
        *("queue_name", "priority", "catch_up", "max_catch_up", "scheduled_for_kwarg"),
    )
    _stands: ClassVar[Any] = (
        *("state", "next_runs", "last_run", "missed", "skipped"),
        *("origin", "written_by", "problem_shown"),
    )

    class Media:
        css: ClassVar[Any] = {"all": ("django_partisan/admin.css",)}

    def get_fieldsets(self, request: HttpRequest, obj: StoredSchedule | None = None) -> Any:
        """Show what it says, its arguments, and where it stands once it is stored."""
        is_shown = obj is not None and not self._may_edit_arguments(request, obj)
        arguments = ("arguments_shown",) if is_shown else ("args", "kwargs")
        said = (None, {"fields": self._said}), ("Arguments", {"fields": arguments})
        return [*said, *([] if obj is None else [("Where it stands", {"fields": self._stands})])]

    def get_readonly_fields(
        self, request: HttpRequest, obj: StoredSchedule | None = None
    ) -> tuple[str, ...]:
        """Let nobody write where it stands; the name of a stored one is how others find it."""
        if obj is None:
            return ()
        return ("key", *self._stands, "arguments_shown")

    def has_change_permission(
        self, request: HttpRequest, obj: StoredSchedule | None = None
    ) -> bool:
        """Refuse to edit what the code says: the next start of a manager would write it back."""
        is_allowed: bool = super().has_change_permission(request, obj)
        return is_allowed and (obj is None or obj.origin == StoredSchedule.Origin.PEOPLE)

    def has_delete_permission(
        self, request: HttpRequest, obj: StoredSchedule | None = None
    ) -> bool:
        """Refuse to delete what the code has: it would come back."""
        is_allowed: bool = super().has_delete_permission(request, obj)
        is_kept = obj is not None and obj.origin == StoredSchedule.Origin.CODE
        return is_allowed and not (is_kept and obj is not None and obj.removed_at is None)

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Say whether the user may run schedules now: a permission of its own."""
        return bool(request.user.has_perm("django_partisan.run_schedule"))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[StoredSchedule]) -> None:
        """Delete the selected ones but those of the code."""
        super().delete_queryset(
            request, queryset.exclude(origin=StoredSchedule.Origin.CODE, removed_at=None)
        )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the next ticks of what is not saved yet, and what can be done with a stored one."""
        context["preview"] = getattr(context["adminform"].form, "preview", [])
        if context["preview"]:
            context["errors"] = None
        row = context.get("original")
        if isinstance(row, StoredSchedule):
            context["may_run"] = self.has_run_permission(request)
            context["may_pause"] = super().has_change_permission(request)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def tell(self, request: HttpRequest, rows: Iterable[StoredSchedule], done: str) -> None:
        """Say what was done with which rows, and keep it in Django's log."""
        rows = list(rows)
        if rows and request.user.pk is not None:
            logged: Any = rows
            LogEntry.objects.log_actions(request.user.pk, logged, CHANGE, change_message=f"{done}.")
        level = messages.SUCCESS if rows else messages.WARNING
        self.message_user(request, f"{done}: {counted(len(rows), 'schedule')}.", level)

    def _may_edit_arguments(self, request: HttpRequest, row: StoredSchedule) -> bool:
        """Say whether the form shows arguments as they are: not where some of them are secret."""
        is_open = not has_secrets(row.processor_class)
        return self.has_change_permission(request, row) and is_open

    @admin.display(description="processor", ordering="processor_class")
    def processor(self, row: StoredSchedule) -> SafeString:
        """The processor without its module."""
        return titled(short_name(row.processor_class), row.processor_class)

    @admin.display(description="time")
    def time(self, row: StoredSchedule) -> str | SafeString:
        """Its line or its interval, and below it what that says."""
        if row.is_manual:
            return "by hand"
        try:
            said = row.timing.explanation
        except (TypeError, ValueError) as error:
            said = str(error)
        line = row.cron or f"every {row.every_seconds} s"
        zone = f", {row.timezone}" if row.cron else ""
        return with_note(line, f"{said}{zone}")

    @admin.display(description="state")
    def state(self, row: StoredSchedule) -> SafeString:
        """Whether it fires, and below it what keeps it from that."""
        if row.removed_at is not None:
            return with_note(badge("removed", "cancelled"), "the code has it no longer")
        if row.problem:
            return with_note(badge("problem", "error"), row.problem[:200], "failure")
        if row.paused_at is not None:
            by = f"by {row.paused_by}" if row.paused_by else ""
            until = format_html(" until {}", exact(row.paused_until)) if row.paused_until else ""
            note = format_html("{}{} {}", by, until, row.pause_reason)
            return with_note(badge("paused", "cancelled"), note)
        return badge("active", "live")

    @admin.display(description="next run", ordering="next_run_at")
    def next_run(self, row: StoredSchedule) -> str | SafeString:
        """When its next tick comes."""
        return natural(row.next_run_at)

    @admin.display(description="next runs")
    def next_runs(self, row: StoredSchedule) -> str | SafeString:
        """Its next ticks, in its own zone."""
        try:
            runs = row.next_runs(SHOWN_RUNS)
        except (TypeError, ValueError):
            runs = []
        lines = format_html_join(
            "", "<li>{}</li>", ((f"{r:%a %Y-%m-%d %H:%M:%S %Z}",) for r in runs)
        )
        return format_html('<ol class="partisan-runs">{}</ol>', lines) if runs else NOTHING

    @admin.display(description="last run", ordering="last_run_at")
    def last_run(self, row: StoredSchedule) -> str | SafeString:
        """When a task was made of it last, and which."""
        if row.last_task_id is None:
            return natural(row.last_run_at)
        url = reverse(
            f"{self.admin_site.name}:django_partisan_task_change", args=[row.last_task_id]
        )
        return format_html('<a href="{}">{}</a>', url, natural(row.last_run_at))

    @admin.display(description="missed, skipped")
    def counts(self, row: StoredSchedule) -> str:
        """How many ticks came too late, and how many found their task waiting."""
        return f"{row.missed:,}, {row.skipped:,}"

    @admin.display(description="arguments")
    def arguments_shown(self, row: StoredSchedule) -> str | SafeString:
        """The arguments, indented; what is secret is masked."""
        shown = row.masked_arguments
        return json_block(
            encode_arguments(
                tuple(shown["args"]), shown["kwargs"], processor="", max_bytes=_UNBOUNDED
            )
        )

    @admin.display(description="problem")
    def problem_shown(self, row: StoredSchedule) -> str:
        """Why it does not fire."""
        return row.problem or NOTHING
