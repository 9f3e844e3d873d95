"""The table of schedules: those of the code and those that people add, each its own cursor."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now

from django_partisan.config.cron import MAX_LINE_LENGTH
from django_partisan.config.moments import as_project_reads
from django_partisan.config.schedules import (
    MAX_KEY_LENGTH,
    check_key,
    check_scheduled_for,
    checked_catch_up,
    checked_max_catch_up,
)
from django_partisan.config.timing import Timing, checked_zone, timing_of
from django_partisan.exceptions import ConfigurationError, ProcessorClassException
from django_partisan.models.moments import MomentField
from django_partisan.payloads.masking import masked
from django_partisan.registry.registry import registry

if TYPE_CHECKING:
    from django_partisan.models.task import Task

_STANDING: Final = (
    *("next_run_at", "active_from", "last_run_at", "last_task_id", "missed", "skipped"),
    *("paused_at", "paused_until", "paused_by", "pause_reason", "problem", "removed_at"),
    *("planned_cron", "planned_every_seconds", "planned_timezone"),
)
"""The columns that managers and the verbs write, also while a form is open."""


class ScheduleVerbs(Protocol):
    """What the methods of a schedule call: the verbs of the lifecycle, which stand above models."""

    def plan_schedule(self, schedule: StoredSchedule) -> None:
        """Set where the schedule stands, as its columns say it now."""

    def pause_schedule(
        self, pk: int, *, until: datetime | timedelta | None, reason: str, by: str
    ) -> bool:
        """Pause a schedule; False when it is gone."""

    def resume_schedule(self, pk: int) -> bool:
        """Let a schedule go on; False when it is gone."""

    def run_schedule(self, pk: int) -> Task:
        """Make a task of a schedule now."""

    def next_runs(self, schedule: StoredSchedule, count: int) -> list[datetime]:
        """Return the next moments at which a schedule is due."""


class StoredSchedule(models.Model):
    """One schedule: when tasks of a processor are made by themselves, and where that stands.

    The row is its own cursor: whoever fires what is due locks it, inserts the tasks and moves
    ``next_run_at`` in one transaction. Rows of origin "code" are written by managers when they
    start; all others are people's, for processors with ``SCHEDULABLE = True`` alone.
    """

    class Origin(models.TextChoices):
        """Who has made the schedule."""

        CODE = "code", "Code"
        PEOPLE = "people", "People"

    class CatchUp(models.TextChoices):
        """What becomes of ticks that could not be fired in time."""

        NONE = "none", "None of them"
        LATEST = "latest", "The latest one"
        ALL = "all", "All of them"

    verbs: ClassVar[ScheduleVerbs]
    """Handed in by :class:`~django_partisan.apps.PartisanConfig` when Django is ready."""

    _stood_at: dict[str, Any]

    id = models.BigAutoField(primary_key=True)
    key = models.CharField(
        "name", max_length=MAX_KEY_LENGTH, unique=True, help_text="What identifies the schedule."
    )
    processor_class = models.CharField("processor", max_length=255)
    origin = models.CharField(
        max_length=10, choices=Origin.choices, default=Origin.PEOPLE, db_default=Origin.PEOPLE
    )
    cron = models.CharField(
        max_length=MAX_LINE_LENGTH,
        blank=True,
        default="",
        db_default="",
        help_text="Minute, hour, day of the month, month, day of the week; seconds may come last.",
    )
    every_seconds = models.BigIntegerField(
        default=0, db_default=0, help_text="The interval in seconds, where there is no line."
    )
    timezone = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text="The zone of the line, as Europe/Paris; empty: TIME_ZONE of the project.",
    )
    args = models.JSONField("arguments", default=list, db_default=[], blank=True)
    kwargs = models.JSONField("keyword arguments", default=dict, db_default={}, blank=True)
    queue_name = models.CharField(
        max_length=50, blank=True, default="", db_default="", help_text="Empty: the processor's."
    )
    priority = models.IntegerField(null=True, blank=True, help_text="Empty: the processor's.")
    catch_up = models.CharField(
        max_length=10,
        choices=CatchUp.choices,
        default=CatchUp.LATEST,
        db_default=CatchUp.LATEST,
        help_text="Which of the ticks are fired that were missed while no manager ran.",
    )
    max_catch_up = models.IntegerField(
        default=100, db_default=100, help_text="Of all of them, the latest so many."
    )
    scheduled_for_kwarg = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text="The keyword argument that gets the moment of the tick.",
    )
    is_manual = models.BooleanField(
        default=False, db_default=False, help_text="Only started by hand."
    )

    next_run_at = MomentField("next run", null=True, blank=True, help_text="The next tick.")
    active_from = MomentField(
        null=True, blank=True, help_text="Where planning begins: no tick before it ever fires."
    )
    last_run_at = MomentField("last run", null=True, blank=True)
    last_task_id = models.BigIntegerField(null=True, blank=True)
    missed = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Ticks for which no task was made, as they came too late.",
    )
    skipped = models.BigIntegerField(
        default=0, db_default=0, help_text="Ticks whose task waited already."
    )
    paused_at = MomentField(null=True, blank=True)
    paused_until = MomentField(null=True, blank=True)
    paused_by = models.CharField(max_length=255, blank=True, default="", db_default="")
    pause_reason = models.CharField(max_length=255, blank=True, default="", db_default="")
    problem = models.TextField(
        blank=True, default="", db_default="", help_text="Why it does not fire."
    )
    removed_at = MomentField(
        null=True, blank=True, help_text="When the code was found to have it no longer."
    )

    definition_hash = models.CharField(max_length=64, blank=True, default="", db_default="")
    former_hashes = models.JSONField(default=list, db_default=[], blank=True)
    written_by = models.CharField(
        max_length=255, blank=True, default="", db_default="", help_text="Who wrote what it says."
    )
    # What next_run_at was planned by: whatever is changed past this class is noticed by these.
    planned_cron = models.CharField(max_length=MAX_LINE_LENGTH, blank=True, db_default="")
    planned_every_seconds = models.BigIntegerField(default=0, db_default=0)
    planned_timezone = models.CharField(max_length=255, blank=True, db_default="")
    created_at = MomentField(db_default=Now())

    class Meta:
        verbose_name = "schedule"
        permissions = (("run_schedule", "Can run a schedule now"),)
        indexes = (
            models.Index(
                fields=["next_run_at", "id"],
                condition=models.Q(next_run_at__isnull=False),
                name="partisan_schedule_due",
            ),
            models.Index(
                fields=["id"],
                condition=(
                    ~models.Q(cron=models.F("planned_cron"))
                    | ~models.Q(every_seconds=models.F("planned_every_seconds"))
                    | ~models.Q(timezone=models.F("planned_timezone"))
                    | models.Q(
                        next_run_at__isnull=True,
                        paused_at__isnull=True,
                        removed_at__isnull=True,
                        is_manual__lt=True,
                        problem="",
                    )
                ),
                name="partisan_schedule_unplanned",
            ),
        )

    def __str__(self) -> str:
        return self.key

    @property
    def is_paused(self) -> bool:
        """Whether it is paused, as far as the row knows: the end of a pause comes by itself."""
        return self.paused_at is not None

    @property
    def planned(self) -> tuple[str, int, str]:
        """What its time is said by."""
        return self.cron, self.every_seconds, self.timezone

    @property
    def planned_by(self) -> tuple[str, int, str]:
        """What its next tick was planned by."""
        return self.planned_cron, self.planned_every_seconds, self.planned_timezone

    @property
    def timing(self) -> Timing:
        """When it is due; raises ValueError where that cannot be read, and for a manual one."""
        return timing_of(self.cron, self.every_seconds, self.timezone, self.key)

    @property
    def zone(self) -> ZoneInfo:
        """The zone of its line; raises ValueError for an unknown one."""
        return checked_zone(self.timezone)

    @property
    def masked_arguments(self) -> Any:
        """The arguments as they may be shown: what SENSITIVE_PARAMS names is masked."""
        return masked(self.processor_class, {"args": self.args, "kwargs": self.kwargs})

    def clean(self) -> None:
        """Raise ValidationError, by field, for what would not be saved."""
        self.catch_up = _checked("catch_up", checked_catch_up, self.catch_up)
        self.timezone = _checked("timezone", checked_zone, self.timezone).key
        _checked("max_catch_up", checked_max_catch_up, self.max_catch_up)
        _checked("key", check_key, self.key)
        if not self.key:
            raise ValidationError({"key": "A schedule needs a name."})
        if self.is_manual:
            self.cron, self.every_seconds = "", 0
        else:
            place = "every_seconds" if self.every_seconds else "cron"
            _checked(place, lambda _: self.timing, None)
        if self.scheduled_for_kwarg:
            _checked(
                "scheduled_for_kwarg",
                lambda name: check_scheduled_for(name, self.kwargs),
                self.scheduled_for_kwarg,
            )
        self._check_processor()

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """Return an instance of a row, which knows where the schedule stood."""
        schedule = super().from_db(*args, **kwargs)
        schedule._note_where_it_stands()  # noqa: SLF001 - its own
        return schedule

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        """Read the row anew."""
        super().refresh_from_db(*args, **kwargs)
        self._note_where_it_stands()

    def save(  # noqa: DJ012 - from_db() comes first in the life of a row
        self, *args: Any, **kwargs: Any
    ) -> None:
        """Store the row; raises ValidationError for a schedule of people's that could not run.

        What is changed about its time counts from now on: no tick from before is fired. Where the
        schedule stands is written only as far as it was changed here: a manager may have moved it.
        """
        if self.origin == self.Origin.PEOPLE:
            self.clean()
        if kwargs.get("update_fields") is None:
            self.verbs.plan_schedule(self)
            if not (self._state.adding or args or kwargs.get("force_insert")):
                kwargs["update_fields"] = self._changed_fields()
        super().save(*args, **kwargs)
        for name in ("next_run_at", "active_from"):
            moment = vars(self).get(name)
            if isinstance(moment, datetime):
                setattr(self, name, as_project_reads(moment))
        self._note_where_it_stands()

    def moved_fields(self) -> list[str]:
        """Return the names of what was changed here about where the schedule stands."""
        known, stood_at = vars(self), self._stood_at
        return [name for name in stood_at if known.get(name) != stood_at[name]]

    def _note_where_it_stands(self) -> None:
        self._stood_at = {name: vars(self).get(name) for name in _STANDING}

    def _changed_fields(self) -> list[str]:
        moved = set(self.moved_fields())
        return [
            field.attname
            for field in self._meta.concrete_fields
            if not field.primary_key
            and field.attname in vars(self)
            and (field.attname in moved or field.attname not in _STANDING)
        ]

    def pause(
        self, until: datetime | timedelta | None = None, *, reason: str = "", by: str = ""
    ) -> None:
        """Fire nothing from now on, until a moment (aware, or a timedelta from now) or a resume.

        What is due in a pause is never fired. Raises ValueError for a naive moment or a past one.
        """
        self.verbs.pause_schedule(self.pk, until=until, reason=reason, by=by)
        self.refresh_from_db()

    def resume(self) -> None:
        """Go on with the next tick from now on; nothing of the pause is made up for."""
        self.verbs.resume_schedule(self.pk)
        self.refresh_from_db()

    def run_now(self) -> Task:
        """Make a task now, also while paused, and return it, or the duplicate that waits.

        The plan stays as it is. Raises ProcessorClassNotFound when the code is gone.
        """
        task = self.verbs.run_schedule(self.pk)
        self.refresh_from_db()
        return task

    def next_runs(self, count: int = 5) -> list[datetime]:
        """Return its next ticks, in its own time zone; none of a manual or an endless pause.

        Raises ValueError where its line cannot be read.
        """
        return [
            as_project_reads(moment.astimezone(self.zone))
            for moment in self.verbs.next_runs(self, count)
        ]

    def _check_processor(self) -> None:
        try:
            processor = registry.get_processor_class_by_name(self.processor_class)
        except ProcessorClassException as error:
            raise ValidationError({"processor_class": str(error)}) from error
        self.processor_class = registry.stored_name(processor)
        if not processor.SCHEDULABLE:
            raise ValidationError(
                {
                    "processor_class": f"{self.processor_class} is not for schedules of people: "
                    "set SCHEDULABLE = True on the class."
                }
            )
        if not isinstance(self.args, (list, tuple)):
            raise ValidationError({"args": "The arguments are a list, as [1, 2]."})
        if not isinstance(self.kwargs, Mapping):
            raise ValidationError({"kwargs": 'Keyword arguments are an object, as {"a": 1}.'})
        extra = {self.scheduled_for_kwarg: None} if self.scheduled_for_kwarg else {}
        try:
            processor.check_arguments(tuple(self.args), {**self.kwargs, **extra})
            processor.task_of_schedule(
                self.args,
                {**self.kwargs, **extra},
                queue_name=self.queue_name,
                priority=self.priority,
            )
        except ConfigurationError as error:
            raise ValidationError({"queue_name": str(error)}) from error
        except Exception as error:  # whatever a constructor raises
            said = f"{self.processor_class} does not take these arguments: {error}"
            raise ValidationError({"args": f"{said.rstrip('.')}."}) from error


def _checked(field: str, check: Any, value: Any) -> Any:
    try:
        return check(value)
    except (TypeError, ValueError) as error:
        raise ValidationError({field: f"{error}."}) from error
