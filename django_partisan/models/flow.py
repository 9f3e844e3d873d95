"""The tables of flows: who waits for whom, which ends are still to be told, and flows by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from django.db import models
from django.db.models.functions import Now

from django_partisan.models.moments import MomentField


class FlowVerbs(Protocol):
    """What the methods of a flow call: :mod:`django_partisan.lifecycle.flows`, above the models."""

    def progress_of(self, flow: Flow) -> FlowProgress:
        """Count a flow's tasks."""

    def tasks_of(self, flow: Flow) -> models.QuerySet[Any]:
        """Return a flow's tasks."""

    def cancel_flow(self, flow: Flow, reason: str) -> int:
        """Cancel what has not ended; return how many tasks that is."""

    def retry_flow(self, flow: Flow, *, only_failed: bool) -> int:
        """Put failed tasks back; return how many run again."""

    def add_to_flow(self, flow: Flow, processor: Any, after: Sequence[Any], **labels: Any) -> Any:
        """Store one more task, for which the flow's end waits as well."""

    def wait_for_flow(self, flow: Flow, timeout: float | None) -> FlowProgress:
        """Return when all tasks have ended."""

    def mermaid_of(self, flow: Flow) -> str:
        """Return the flow as a drawing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowProgress:
    """How far a flow has come: its tasks by how they stand, without the joints between groups."""

    total: int
    done: int
    """Those that have ended, however they did."""
    failed: int
    """Those in error."""
    cancelled: int
    running: int

    @property
    def fraction(self) -> float:
        """The share of tasks that have ended, 0.0 to 1.0; 1.0 for a flow without any."""
        return self.done / self.total if self.total else 1.0

    @property
    def is_done(self) -> bool:
        """Whether every task has ended."""
        return self.done >= self.total


class Flow(models.Model):
    """Tasks that were stored together, some of which wait for others; see `django_partisan.flows`.

    The row keeps no counts: what is counted is the rows of its tasks.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=255, blank=True)
    total = models.IntegerField(default=0, help_text="The tasks in it, as far as it is known.")
    on_success_id = models.BigIntegerField(
        null=True, blank=True, help_text="The task that runs once all others have finished."
    )
    on_complete_id = models.BigIntegerField(
        null=True, blank=True, help_text="The task that runs once all others have ended."
    )
    created_at = MomentField(db_default=Now())

    member_id: int | None = None
    """The task inside of which this was asked for, by `task.flow`; what is added comes after it."""
    verbs: ClassVar[FlowVerbs]
    """Handed in by :class:`~django_partisan.apps.PartisanConfig` when Django is ready."""

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.name or f"Flow {self.pk}"

    @property
    def progress(self) -> FlowProgress:
        """How many of its tasks have ended, and how, read now by one statement."""
        return self.verbs.progress_of(self)

    @property
    def tasks(self) -> models.QuerySet[Any]:
        """Its tasks in the order in which they were stored, without the joints between groups."""
        return self.verbs.tasks_of(self)

    def cancel(self, reason: str = "") -> int:
        """Cancel its tasks: those that wait at once, those that run soon; return how many.

        ``reason`` is kept with each that waited. Calling it twice is harmless.
        """
        return self.verbs.cancel_flow(self, reason)

    def retry(self, *, only_failed: bool = True) -> int:
        """Put its tasks in error back into their queues; return how many tasks run again.

        With ``only_failed=False`` everything from there on as well: what was cancelled because of
        them waits for them again.
        """
        return self.verbs.retry_flow(self, only_failed=only_failed)

    def add(
        self,
        processor: Any,
        after: Sequence[Any] = (),
        *,
        creator: models.Model | None = None,
        tags: Sequence[str] = (),
    ) -> Any:
        """Store one more task of the flow and return it; it waits for the tasks ``after``.

        ``creator`` and ``tags`` are its own: those of the flow's other tasks are not taken over.
        What comes last in the flow, or inside of a task of the flow what comes after that task,
        waits for the new one, too. Raises FlowEnded when nothing of that waits any more.
        """
        return self.verbs.add_to_flow(self, processor, after, creator=creator, tags=tags)

    def wait(self, timeout: float | None = None) -> FlowProgress:
        """Return when all of its tasks have ended; for scripts and tests.

        Raises TimeoutError after ``timeout`` seconds. Do not call it in a task: its worker would be
        missing to those it waits for.
        """
        return self.verbs.wait_for_flow(self, timeout)

    def to_mermaid(self) -> str:
        """Return the flow as a flowchart in Mermaid's language; equal neighbours are one node."""
        return self.verbs.mermaid_of(self)


class Dependency(models.Model):
    """One task waits for another one. Plain numbers: rows of tasks come and go in raw batches."""

    class Policy(models.TextChoices):
        """What becomes of a task when one that it waits for ends without having finished."""

        CANCEL = "cancel", "It is cancelled"
        RUN = "run", "It runs all the same"

    id = models.BigAutoField(primary_key=True)
    parent_id = models.BigIntegerField()
    child_id = models.BigIntegerField()
    policy = models.CharField(max_length=10, choices=Policy.choices, default=Policy.CANCEL)
    parent_outcome = models.CharField(  # noqa: DJ001 - empty is not known, and no outcome
        max_length=20,
        null=True,
        blank=True,
        help_text="How the parent had ended when it was named, or deleted; it counts no more then.",
    )
    parent_result = models.JSONField(
        null=True, blank=True, help_text="The result of a parent that has been deleted."
    )

    class Meta:
        verbose_name_plural = "dependencies"
        indexes = (models.Index(fields=["parent_id"], name="partisan_dependency_parent"),)
        constraints = (
            models.UniqueConstraint(
                fields=["child_id", "parent_id"], name="partisan_dependency_once"
            ),
        )

    def __str__(self) -> str:
        return f"task {self.child_id} after task {self.parent_id}"


class Untold(models.Model):
    """Ends that dependents have not been told of, left by the statement that recorded them.

    Either the ends and this row are there, or neither; either this row is gone and the dependents
    know, or neither. Where a dependent was locked, ``created_at`` is the moment of the last try.
    """

    id = models.BigAutoField(primary_key=True)
    ends = models.JSONField(default=list, help_text="The tasks that have ended, and how.")
    created_at = MomentField(db_default=Now())

    class Meta:
        verbose_name_plural = "untold"

    def __str__(self) -> str:
        return f"{len(self.ends)} ends to be told"
