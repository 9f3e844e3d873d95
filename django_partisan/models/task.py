"""The table of tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now

from django_partisan.config.const import DEFAULT_QUEUE_NAME
from django_partisan.config.labels import MAX_NAME_LENGTH
from django_partisan.models.flow import Flow
from django_partisan.models.labels import LabelledManager, TagsField
from django_partisan.models.moments import MomentField
from django_partisan.models.object_keys import MAX_LENGTH, object_of
from django_partisan.models.progress import Progress, TaskProgress
from django_partisan.payloads.masking import masked
from django_partisan.payloads.printed import text_of_tries
from django_partisan.registry.registry import registry
from django_partisan.settings import QueueSettings, get_queue_settings


class Inline(Protocol):
    """What the methods of 1.6.1 call: :mod:`django_partisan.inline`, which stands above models."""

    def claim(self, count: int | None, queue_name: str) -> list[Task]:
        """Claim due tasks for this process, all of them when ``count`` is None."""

    def rescue_orphans(self) -> int:
        """Give every orphan back to its queue; return how many."""

    def run(self, task: Task) -> Any:
        """Run a task's processor once."""

    def complete(self, task: Task) -> None:
        """Record that a task finished."""

    def fail(self, task: Task, error: BaseException) -> None:
        """Record an error as a task's end."""

    def cancel(self, task: Task) -> bool:
        """Cancel a task; False when it had ended before."""

    def follow_log(self, task: Task) -> Iterator[str]:
        """Yield what a task prints, as it comes, until it has ended."""


class TasksManager(LabelledManager["Task"]):
    """The public way to tasks as rows; the engine uses :mod:`django_partisan.lifecycle`."""

    def select_for_process(
        self, count: int | None = None, queue_name: str = DEFAULT_QUEUE_NAME
    ) -> list[Task]:
        """Claim up to ``count`` due tasks of ``queue_name`` (all when None) and return them.

        The caller becomes their owner: it is registered as a manager process, and should call
        :meth:`Task.complete` or :meth:`Task.fail` on each. Two callers never get the same task.
        """
        return Task.inline.claim(count, queue_name)

    def reset_tasks_to_initial_status(self) -> int:
        """Give orphans back to their queue and return how many; a live manager's tasks stay."""
        return Task.inline.rescue_orphans()


class Task(models.Model):
    """One row: "do this once". Its status only moves through :mod:`django_partisan.lifecycle`."""

    class Status(models.TextChoices):
        """Every status a task can have; FINISHED, ERROR and CANCELLED are terminal."""

        NEW = "new", "New"
        WAITING = "waiting", "Waiting"
        IN_PROCESS = "in_process", "In process"
        ERROR = "error", "Error"
        FINISHED = "finished", "Finished"
        CANCELLED = "cancelled", "Cancelled"

    inline: ClassVar[Inline]
    """Handed in by :class:`~django_partisan.apps.PartisanConfig` when Django is ready."""

    STATUS_NEW: ClassVar[Status] = Status.NEW
    STATUS_WAITING: ClassVar[Status] = Status.WAITING
    STATUS_IN_PROCESS: ClassVar[Status] = Status.IN_PROCESS
    STATUS_ERROR: ClassVar[Status] = Status.ERROR
    STATUS_FINISHED: ClassVar[Status] = Status.FINISHED
    STATUS_CANCELLED: ClassVar[Status] = Status.CANCELLED
    STATUS_CHOICES: ClassVar[Any] = Status.choices
    TERMINAL_STATUSES: ClassVar[Sequence[str]] = ("finished", "error", "cancelled")

    id = models.BigAutoField(primary_key=True)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.NEW)
    queue_name = models.CharField(max_length=50, default=DEFAULT_QUEUE_NAME)
    created_at = MomentField(auto_now_add=True)
    updated_at = MomentField(auto_now=True)
    processor_class = models.CharField(max_length=255)
    priority = models.IntegerField(default=10, help_text="Lower runs first.")
    execute_after = MomentField(db_default=Now())
    arguments = models.JSONField(default=dict)
    extra = models.JSONField(default=dict, blank=True)

    lease = models.BigIntegerField(
        db_default=0, help_text="Proves whose claim it is; grows with every claim and rescue."
    )
    manager_id = models.BigIntegerField(
        null=True, blank=True, help_text="The manager process that holds the task now."
    )
    claimed_at = MomentField(null=True, blank=True)
    started_at = MomentField(null=True, blank=True)
    finished_at = MomentField(null=True, blank=True)
    attempts = models.IntegerField(db_default=0)
    retries = models.IntegerField(db_default=0)
    postpones = models.IntegerField(db_default=0)
    rescues = models.IntegerField(db_default=0)
    crashes = models.IntegerField(
        db_default=0, help_text="Rescues after which it was certain that the task had started."
    )
    result = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    unique_hash = models.UUIDField(
        null=True, blank=True, help_text="Hash of processor and arguments, when unique."
    )
    unique_key = models.UUIDField(
        null=True, blank=True, help_text="The hash while it keeps duplicates out; else empty."
    )
    is_unique_until_finish = models.BooleanField(db_default=False)
    cancel_requested_at = MomentField(
        null=True, blank=True, help_text="When its end was asked for; then it never waits again."
    )
    repeat_seconds = models.FloatField(
        null=True,
        blank=True,
        help_text="How far apart the links of its chain are, while it is one.",
    )
    repeat_until = MomentField(
        null=True, blank=True, help_text="The last moment for which a link of its chain is due."
    )
    repeat_slot = MomentField(
        null=True, blank=True, help_text="When it was to run by its chain, whatever was postponed."
    )
    schedule_id = models.BigIntegerField(
        null=True, blank=True, help_text="The schedule that has made the task."
    )
    scheduled_for = MomentField(
        null=True, blank=True, help_text="The tick of that schedule; empty when run by hand."
    )

    unique_for_seconds = models.FloatField(
        null=True, blank=True, help_text="How long after its start it keeps duplicates out."
    )
    debounce_until = MomentField(
        null=True, blank=True, help_text="Duplicates put it off no further than to this moment."
    )

    expires_at = MomentField(
        null=True, blank=True, help_text="It does not start after this; empty: it may at any time."
    )
    held_by = models.BigIntegerField(
        null=True, blank=True, help_text="The pause that keeps the waiting task from being claimed."
    )

    blocked_by = models.IntegerField(
        db_default=0, help_text="How many tasks that it waits for have not ended yet."
    )
    has_dependents = models.BooleanField(
        db_default=False, help_text="Whether other tasks wait for it, or have waited."
    )
    flow_id = models.BigIntegerField(
        null=True, blank=True, help_text="The flow that the task belongs to."
    )
    verbose_name = models.CharField(  # noqa: DJ001 - left out by an INSERT that has none
        max_length=MAX_NAME_LENGTH,
        null=True,
        blank=True,
        help_text="What it is called for people; empty: as its processor.",
    )
    creator_key = models.CharField(  # noqa: DJ001 - likewise
        max_length=MAX_LENGTH,
        null=True,
        blank=True,
        help_text="The object that has created it, app_label.modelname:pk; empty: none.",
    )
    tags = TagsField(
        null=True, blank=True, default=tuple, help_text="By which people find it; empty: none."
    )
    object_key = models.CharField(  # noqa: DJ001 - left out by an INSERT that has none
        max_length=MAX_LENGTH,
        null=True,
        blank=True,
        help_text="The object whose method it calls, app_label.modelname:pk; empty: none.",
    )

    was_duplicate: bool = False
    """Whether `.delay()` found this task waiting instead of storing a new one."""

    has_told: bool = False
    """Whether its processor, run by this instance, has told of progress or saved a checkpoint."""

    objects = TasksManager()

    class Meta:
        indexes = (
            models.Index(
                fields=["queue_name", "priority", "execute_after", "id"],
                condition=models.Q(status="new", held_by__isnull=True),
                name="partisan_task_claimable",
            ),
            models.Index(
                fields=["held_by", "id"],
                condition=models.Q(held_by__isnull=False),
                name="partisan_task_held",
            ),
            models.Index(
                fields=["expires_at"],
                condition=models.Q(expires_at__isnull=False, finished_at__isnull=True),
                name="partisan_task_expiry",
            ),
            models.Index(
                fields=["id"], condition=models.Q(status="in_process"), name="partisan_task_claimed"
            ),
            models.Index(
                fields=["status", "queue_name", "finished_at"],
                condition=models.Q(status__in=["finished", "error", "cancelled"]),
                name="partisan_task_finished",
            ),
            models.Index(
                fields=["finished_at"],
                condition=models.Q(repeat_seconds__isnull=False)
                | models.Q(unique_for_seconds__isnull=False),
                name="partisan_task_in_time",
            ),
            models.Index(
                fields=["schedule_id", "id"],
                condition=models.Q(schedule_id__isnull=False),
                name="partisan_task_schedule",
            ),
            models.Index(
                fields=["flow_id", "status"],
                condition=models.Q(flow_id__isnull=False),
                name="partisan_task_flow",
            ),
            models.Index(
                fields=["creator_key", "id"],
                condition=models.Q(creator_key__isnull=False),
                name="partisan_task_creator",
            ),
            # On PostgreSQL it is a GIN index of the tags, under this name.
            models.Index(
                fields=["id"], condition=models.Q(tags__isnull=False), name="partisan_task_tags"
            ),
            models.Index(
                fields=["object_key", "id"],
                condition=models.Q(object_key__isnull=False),
                name="partisan_task_object",
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["unique_key"],
                condition=models.Q(unique_key__isnull=False),
                name="partisan_task_unique_key",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=["new", "waiting", "in_process", "error", "finished", "cancelled"]
                ),
                name="partisan_task_status_known",
            ),
            # Whoever counts an end twice is told at once.
            models.CheckConstraint(
                condition=models.Q(blocked_by__gte=0), name="partisan_task_blocked_by"
            ),
        )

    def __str__(self) -> str:
        # Only where it was read: what is logged of a task must not begin a statement.
        name = vars(self).get("verbose_name") or self.processor_class
        return f"{name} #{self.pk} ({self.status})"

    @property
    def settings(self) -> QueueSettings:
        """The settings of the task's queue; raises UnknownQueue when there are none."""
        return get_queue_settings(self.queue_name)

    @property
    def flow(self) -> Flow | None:
        """The flow that the task belongs to, read anew; None without one.

        What is added to it comes after this task.
        """
        if self.flow_id is None:
            return None
        found = Flow.objects.using(self._state.db).filter(pk=self.flow_id).first()
        if found is not None:
            found.member_id = self.pk
        return found

    @property
    def progress(self) -> TaskProgress | None:
        """What the task has told of its progress last, read anew; None where it has told nothing.

        It stays after the end of the task.
        """
        found = Progress.objects.using(self._state.db).filter(pk=self.pk).first()
        return None if found is None else found.told

    @property
    def creator(self) -> models.Model | None:
        """The object that `.delay()` was given, loaded anew; None without one, or if it is gone."""
        return None if self.creator_key is None else object_of(self.creator_key)

    @property
    def masked_arguments(self) -> Any:
        """The arguments as they may be shown: what SENSITIVE_PARAMS names is masked."""
        return masked(self.processor_class, self.arguments)

    @property
    def log(self) -> str:
        """What all its tries have printed so far, the first one first; empty when nothing was kept.

        Read anew at each look. Of a task that runs it is complete only up to the end of the try
        before, unless somebody follows it: see :meth:`follow_log`.
        """
        return text_of_tries(self.output_set.order_by("pk"))

    def follow_log(self) -> Iterator[str]:
        """Yield what the task prints, as it comes, from its first try on, until it has ended.

        Each text is what is new; an empty one says that nothing has come for half a second. The
        manager may be on any host: it stores the lines of a followed task once a second. To be used
        outside of a transaction.
        """
        return self.inline.follow_log(self)

    @property
    def tries_count(self) -> int:
        """How many retries the task has used."""
        return self.retries

    @property
    def postpones_count(self) -> int:
        """How many times the task was postponed."""
        return self.postpones

    def get_initialized_processor(self) -> Any:
        """Return the task's processor, bound to it; raise ProcessorClassNotFound without one."""
        processor_class = registry.get_processor_class_by_name(self.processor_class)
        return processor_class.get_initialized_processor(self)

    def run(self) -> Any:
        """Run the task's processor once and return what it returned.

        A retry or a postpone that the processor's rules grant is recorded under this instance's
        lease and returns None; any other error is raised. Raises LeaseLost when somebody else has
        taken the task in the meantime. Does not mark the task finished: call :meth:`complete`.
        """
        return self.inline.run(self)

    def complete(self) -> None:
        """Record that the task finished (or delete it, by DELETE_TASKS_ON_COMPLETE).

        A task that :meth:`run` gave back to its queue (retried, postponed) or that cancelled itself
        is left as it is. Raises TaskNotInProcess when it is not in process, which it is between
        ``select_for_process()`` and its end, LeaseLost when it is no longer this instance's.
        """
        self.inline.complete(self)

    def fail(self, err: BaseException) -> None:
        """Record ``err`` as the task's end.

        Raises TaskNotInProcess when it is not in process, LeaseLost when it is not ours any more.
        """
        self.inline.fail(self, err)

    def cancel(self) -> bool:
        """Cancel the task: at once while it waits; what runs is stopped by its manager soon.

        False when it had ended before, or is gone: then nothing has changed. True otherwise, and
        after that ``status`` says whether it is cancelled already. Calling it twice is harmless.
        """
        return self.inline.cancel(self)
