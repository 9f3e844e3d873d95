"""The admin of pauses: what is paused, by whom and why; pause something, change it, resume it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from django_partisan import control
from django_partisan.admin.lists import configured_queues
from django_partisan.admin.rendering import natural
from django_partisan.models import Pause, Task
from django_partisan.registry.registry import registry

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Pause]
    _ModelForm = forms.ModelForm[Pause]
else:
    _ModelAdmin = admin.ModelAdmin
    _ModelForm = forms.ModelForm


class PauseForm(_ModelForm):
    """Asks for what is to be paused, until when, and why."""

    class Meta:
        model = Pause
        fields = ("queue_name", "processor_class", "until", "reason")
        help_texts = {  # noqa: RUF012 - Django's own shape
            "queue_name": "Managers start nothing of this queue: a queue, or a processor below.",
            "processor_class": "By the name that its tasks are stored under.",
            "until": "Resumed by itself at this moment; empty: when somebody resumes it.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, known in (
            ("queue_name", configured_queues()),
            ("processor_class", registry.names()),
        ):
            if name in self.fields:
                self.fields[name].widget = _Suggesting(f"partisan-{name}", known)

    def clean(self) -> dict[str, Any]:
        """Refuse what :func:`django_partisan.control.pause` would refuse, in its words."""
        given: dict[str, Any] = super().clean() or {}
        name = given.get("queue_name") or self.instance.queue_name
        processor = given.get("processor_class") or self.instance.processor_class
        try:
            control.check(
                queue_name=name or None, processor=processor or None, until=given["until"]
            )
        except (TypeError, ValueError) as error:
            raise ValidationError(str(error)) from error
        except KeyError:  # what is wrong with the moment is told already
            pass
        return given


class _Suggesting(forms.TextInput):
    """A text that may be any, with a list of known ones to choose from."""

    def __init__(self, list_id: str, known: Sequence[str]) -> None:
        super().__init__(attrs={"list": list_id, "class": "vTextField"})
        self._list_id = list_id
        self._known = known

    def render(self, *args: Any, **kwargs: Any) -> SafeString:
        """Return the field with its list."""
        options = format_html_join("", '<option value="{}">', ((name,) for name in self._known))
        text = super().render(*args, **kwargs)
        return format_html('{}<datalist id="{}">{}</datalist>', text, self._list_id, options)


@admin.action(permissions=["delete"], description="Resume selected pauses")
def resume(model_admin: PauseAdmin, request: HttpRequest, queryset: QuerySet[Pause]) -> None:
    """End the selected pauses."""
    model_admin.delete_queryset(request, queryset)


@admin.register(Pause)
class PauseAdmin(_ModelAdmin):
    """Pauses are made, changed and ended by :mod:`django_partisan.control`, as anywhere else."""

    form = PauseForm
    list_display = ("paused", "since", "ends", "paused_by", "reason", "held")
    ordering = ("pk",)
    actions = (resume,)

    class Media:
        css: ClassVar[Any] = {"all": ("django_partisan/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pause]:
        """Leave out what has ended by itself: it counts as gone."""
        return super().get_queryset(request).exclude(until__lte=Now())

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> Any:
        """Offer to resume, which is how a pause is deleted; Django 6.1 asks for each place."""
        where = [] if action_location is None else [action_location]
        offered: dict[str, Any] = super().get_actions(request, *where)
        offered.pop("delete_selected", None)
        return offered

    def get_readonly_fields(self, request: HttpRequest, obj: Pause | None = None) -> Any:
        """Let end and reason be changed; what is paused is another pause."""
        return () if obj is None else ("queue_name", "processor_class", "paused_by", "paused_at")

    def get_fields(self, request: HttpRequest, obj: Pause | None = None) -> Any:
        """Show who and since when, once that is known."""
        asked = ("queue_name", "processor_class", "until", "reason")
        return asked if obj is None else (*asked, "paused_by", "paused_at")

    def save_model(self, request: HttpRequest, obj: Pause, form: Any, change: bool) -> None:
        """Pause, or change the pause, in the name of the user."""
        row = control.pause(**_target(obj), until=obj.until, reason=obj.reason, by=request.user)
        if row.was_paused and not change:
            told = f"{row} was paused already; its end and its reason are changed."
            self.message_user(request, told, messages.WARNING)
        if doubt := control.doubt_about(control.target_of(row.queue_name, row.processor_class)):
            self.message_user(request, doubt, messages.WARNING)
        obj.__dict__.update({name: vars(row)[name] for name in vars(row) if name != "_state"})

    def delete_model(self, request: HttpRequest, obj: Pause) -> None:
        """Resume what was paused."""
        control.resume(**_target(obj))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Pause]) -> None:
        """Resume each, and say so."""
        for row in queryset:
            if control.resume(**_target(row)):
                self.message_user(request, f"Resumed {row}.", messages.SUCCESS)

    @admin.display(description="paused")
    def paused(self, row: Pause) -> str:
        """What is paused."""
        return str(row)

    @admin.display(description="since")
    def since(self, row: Pause) -> str | SafeString:
        """How long ago it was paused."""
        return natural(row.paused_at)

    @admin.display(description="until")
    def ends(self, row: Pause) -> str | SafeString:
        """When it ends by itself."""
        return "resumed" if row.until is None else natural(row.until)

    @admin.display(description="held tasks")
    def held(self, row: Pause) -> str:
        """How many tasks of a processor stand aside; those of a queue wait where they are."""
        if row.queue_name is not None:
            return ""
        held = Task.objects.filter(status=Task.STATUS_NEW, held_by=row.pk)
        count = len(held.values_list("pk")[: _MAX_COUNTED + 1])
        return f"more than {_MAX_COUNTED:,}" if count > _MAX_COUNTED else f"{count:,}"


_MAX_COUNTED = 10_000


def _target(row: Pause) -> dict[str, Any]:
    if row.queue_name:
        return {"queue_name": row.queue_name}
    return {"processor": row.processor_class}


def paused_tasks() -> Q:
    """Return the condition on tasks that wait for the end of a pause."""
    rows = list(Pause.objects.exclude(until__lte=Now()))
    queues = [row.queue_name for row in rows if row.queue_name is not None]
    # Spelled out by status, each arm is a range of a partial index.
    held = Q(status=Task.STATUS_NEW, held_by__isnull=False)
    return held | Q(status=Task.STATUS_NEW, queue_name__in=queues)


class PausedFilter(admin.SimpleListFilter):
    """Filters the tasks that wait for the end of a pause from all others that are new."""

    title = "pause"
    parameter_name = "paused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer both."""
        return [("yes", "Paused"), ("no", "New, not paused")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        """Keep the new tasks of one kind."""
        match self.value():
            case "yes":
                return queryset.filter(paused_tasks())
            case "no":
                return queryset.filter(status=Task.STATUS_NEW).exclude(paused_tasks())
        return queryset
