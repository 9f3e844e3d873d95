"""What the pages ask the database: one function per question, one or two queries each."""

from dataclasses import dataclass, fields

from django.db.models import Count, Sum

from django_partisan.flows import Flow, FlowProgress
from django_partisan.models import Attempt, Task
from stdlib_index.models import Module, Package

SHOWN_FAILURES = 50


@dataclass(frozen=True, kw_only=True)
class QueueCounts:
    """How many tasks are in which state."""

    waiting: int = 0
    running: int = 0
    finished: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """Return how many tasks will not run again by themselves."""
        return self.finished + self.failed

    @property
    def total(self) -> int:
        """Return how many tasks there are."""
        return self.waiting + self.running + self.done

    @property
    def is_busy(self) -> bool:
        """Say whether anything is still to be done."""
        return self.waiting + self.running > 0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A task in error: what it was about, and how its last attempt ended."""

    task_id: int
    subject: str
    error: str
    message: str


def queue_counts() -> QueueCounts:
    """Count the tasks by state."""
    counts = dict(Task.objects.order_by("status").values_list("status").annotate(Count("pk")))
    return QueueCounts(
        waiting=counts.get(Task.STATUS_NEW, 0) + counts.get(Task.STATUS_WAITING, 0),
        running=counts.get(Task.STATUS_IN_PROCESS, 0),
        finished=counts.get(Task.STATUS_FINISHED, 0),
        failed=counts.get(Task.STATUS_ERROR, 0),
    )


def flow_progress() -> FlowProgress:
    """Add up how far the flows have come: the newest, and what earlier ones have left."""
    found = [flow.progress for flow in Flow.objects.all()]
    names = [field.name for field in fields(FlowProgress)]
    return FlowProgress(**{name: sum(getattr(each, name) for each in found) for name in names})


def library_totals() -> Package:
    """Add up all modules indexed so far, as one nameless package that is not stored."""
    fields = ("lines", "functions", "classes", "documentable", "documented")
    sums = Module.objects.aggregate(
        modules_count=Count("pk"), **{name: Sum(name, default=0) for name in fields}
    )
    return Package(**sums)


def packages_by_size() -> list[Package]:
    """Return the packages, largest first, each with ``indexed``, its modules so far."""
    packages = Package.objects.annotate(indexed=Count("modules"))
    return list(packages.order_by("-lines", "-indexed", "name"))


def failures(package: str | None = None) -> list[Failure]:
    """Return the newest tasks in error, of one package or of all."""
    tasks = Task.objects.filter(status=Task.STATUS_ERROR).order_by("-pk")
    if package is not None:
        tasks = tasks.filter(arguments__kwargs__package=package)
    shown = list(tasks[:SHOWN_FAILURES])
    attempts = Attempt.objects.filter(task_id__in=[task.pk for task in shown]).order_by("pk")
    last = {attempt.task_id: attempt for attempt in attempts}
    return [_failure(task, last.get(task.pk)) for task in shown]


def _failure(task: Task, attempt: Attempt | None) -> Failure:
    arguments = task.arguments["kwargs"]
    return Failure(
        task_id=task.pk,
        subject=arguments.get("path") or arguments.get("package", "the report"),
        error=attempt.error_type if attempt else "",
        message=attempt.message if attempt else "",
    )
