"""The admin of manager processes: who runs, where, for which queues, and who went silent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import admin
from django.db.models import BooleanField, Case, QuerySet, Value, When
from django.db.models.functions import Now
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from django_partisan.admin.rendering import badge, duration, natural, short_name
from django_partisan.config.wording import counted, listed
from django_partisan.models import ManagerProcess
from django_partisan.settings import get_process_settings

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[ManagerProcess]
else:
    _ModelAdmin = admin.ModelAdmin


def with_liveness(managers: QuerySet[ManagerProcess]) -> QuerySet[ManagerProcess]:
    """Add ``is_live``: heard of within PARTISAN_DEAD_AFTER_SECONDS, on the database's clock."""
    silence = timedelta(seconds=get_process_settings().DEAD_AFTER_SECONDS)
    heard = When(last_seen__gte=Now() - silence, then=Value(True))
    return managers.annotate(is_live=Case(heard, default=False, output_field=BooleanField()))


def liveness(manager: ManagerProcess) -> SafeString:
    """Return 'live' or 'dead' on its colour, for a row of :func:`with_liveness`."""
    word = "live" if manager.is_live else "dead"  # type: ignore[attr-defined]
    return badge(word, word)


@admin.register(ManagerProcess)
class ManagerProcessAdmin(_ModelAdmin):
    """Managers register and deregister themselves; here they are only read."""

    list_display = ("id", "label", "node_name", "pid", "served", "state", "live", "started", "seen")
    list_display_links = ("id", "node_name")
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": ("label", "node_name", "pid", "served", "state", "live", "version")}),
        ("Times", {"fields": ("started_at", "started", "last_seen", "seen")}),
        ("Process", {"fields": ("boot_id", "process_started", "running")}),
    )

    help_texts: Final = {
        "label": "What it was called by --label, if anything.",
        "node_name": "The host, or the name that it was given by PARTISAN_NODE_NAME.",
        "state": "A stopping manager takes nothing new and ends after what runs.",
        "live": "A dead manager's tasks go back to their queues.",
        "boot_id": "The boot, or the container, in which the pid means something.",
        "process_started": "With it, a pid that is used again is told from the manager's.",
    }

    class Media:
        css: ClassVar[Any] = {"all": ("django_partisan/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[ManagerProcess]:
        """Ask the database, whose clock managers go by, who lives."""
        return with_liveness(super().get_queryset(request))

    def get_form(self, *args: Any, **kwargs: Any) -> Any:
        """Explain the fields to operators; the model explains them to programmers."""
        return super().get_form(*args, **kwargs, help_texts=self.help_texts)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Managers register themselves."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: ManagerProcess | None = None
    ) -> bool:
        """Nobody edits a manager."""
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: ManagerProcess | None = None
    ) -> bool:
        """Nobody deletes a manager: its row is how others know whose tasks are orphans."""
        return False

    @admin.display(description="queues")
    def served(self, manager: ManagerProcess) -> str:
        """The queues that the manager serves."""
        return listed(list(map(str, manager.queues or ())), most=50)

    @admin.display(description="live or dead")
    def live(self, manager: ManagerProcess) -> SafeString:
        """Whether the manager was heard of lately."""
        return liveness(manager)

    @admin.display(description="started")
    def started(self, manager: ManagerProcess) -> str | SafeString:
        """How long ago the manager started."""
        return natural(manager.started_at)

    @admin.display(description="last seen")
    def seen(self, manager: ManagerProcess) -> str | SafeString:
        """How long ago the manager was heard of."""
        return natural(manager.last_seen)

    @admin.display(description="at the last heartbeat")
    def running(self, manager: ManagerProcess) -> str | SafeString:
        """What each worker ran, and how many tasks waited, when the manager told last."""
        if "workers" not in manager.snapshot:
            return "nothing told yet"
        rows = format_html_join(
            "",
            "<tr><th>worker {}</th><td>process {}</td><td>{}</td></tr>",
            (
                (told["worker"], told["pid"], self._doing(told))
                for told in manager.snapshot["workers"]
            ),
        )
        waiting = counted(manager.snapshot["waiting"], "task")
        table = '<table class="partisan-timeline">{}</table><p>{} in the local queue</p>'
        return format_html(table, rows, waiting)

    def _doing(self, told: dict[str, Any]) -> str | SafeString:
        if "task" not in told:
            return "idle"
        url = reverse(f"{self.admin_site.name}:django_partisan_task_change", args=[told["task"]])
        what = f"{short_name(told['processor'])} for {duration(timedelta(seconds=told['seconds']))}"
        if beside := told.get("beside"):
            what += f", and {counted(len(beside), 'task')} beside it"
        return format_html('<a href="{}">task {}</a>, {}', url, told["task"], what)
