"""The ledger rule: what must be true of every task after whatever has happened to the processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from enum import Enum
from typing import NamedTuple

from django.db import transaction

from django_partisan.models import Attempt, ManagerProcess, Task
from django_partisan.processor import BaseTaskProcessor
from tests.app.models import Ledger
from tests.support.helpers import wait_until


class Broken(Enum):
    """The ways in which the rule can be broken, as the summary of `make faults` counts them."""

    LOST = "lost"
    STUCK = "stuck"
    STALE = "stale writes"
    COUNTED_WRONG = "counted wrong"


class Problem(NamedTuple):
    """One thing that breaks the rule."""

    kind: Broken
    text: str


class Book:
    """The tasks that a test has enqueued, and the rule they are held to in the end.

    Beside them it keeps what the summary tells: faults that were injected, and how long it took to
    recover from them. ``patience`` is how many times as long as promised that may take: a promise
    is held to on a quiet machine, and elsewhere tells what still is no coincidence.
    """

    def __init__(self, *, patience: float = 1) -> None:
        self._patience = patience
        self.ids: list[int] = []
        self.faults = 1
        self.recoveries: list[float] = []
        self.problems: list[Problem] = []
        self.waiting: set[int] = set()
        """Tasks that may still wait at the end; the test knows why."""
        self.is_deleting = False
        """Whether finished tasks are deleted."""

    def enqueue(
        self,
        *processors: BaseTaskProcessor,
        priority: int | None = None,
        execute_after: float | None = None,
    ) -> list[int]:
        """Enqueue tasks in one transaction and return their ids."""
        with transaction.atomic():
            ids = [
                processor.delay(priority=priority, execute_after=execute_after).pk
                for processor in processors
            ]
        self.ids += ids
        return ids

    def run(self, *processors: BaseTaskProcessor) -> None:
        """Enqueue tasks and return when all of them have finished."""
        ids = self.enqueue(*processors)
        wait_until(lambda: all_are(ids, "finished"), message=lambda: f"finished: {statuses(ids)}")

    def begin(self, *processors: BaseTaskProcessor, running: int | None = None) -> list[int]:
        """Enqueue tasks, and return when all of them, or as many as said, have started."""
        ids = self.enqueue(*processors)
        count = len(ids) if running is None else running
        wait_until(lambda: len(started(ids)) == count, message=lambda: f"start: {statuses(ids)}")
        return ids

    def recovered(self, what: str, seconds: float, *, within: float | None = None) -> None:
        """Take note of a recovery, and fail when it took longer than a promise allows."""
        print(f"{what}: {seconds:.3f} s")
        self.recoveries.append(seconds)
        allowed = None if within is None else within * self._patience
        assert allowed is None or seconds <= allowed, f"{what}: {seconds:.1f} s, not {allowed} s"

    def check(self) -> None:
        """Fail with everything that breaks the rule. No manager may be running any more."""
        self.problems = list(_problems(self.ids, self.waiting, is_deleting=self.is_deleting))
        assert not self.problems, "\n".join(problem.text for problem in self.problems)


def started(ids: Collection[int]) -> Counter[int]:
    """Return how many executions of each of these tasks have begun."""
    return _noted("started", ids)


def done(ids: Collection[int]) -> Counter[int]:
    """Return how many executions of each of these tasks came to their end."""
    return _noted("done", ids)


def has_begun_again(task_id: int) -> bool:
    """Say whether a second execution of a task has begun."""
    return started([task_id])[task_id] == 2


def worker_of(task_id: int) -> int:
    """Return the process id of the worker that has begun a task's only execution."""
    return Ledger.objects.get(task_id=task_id, note="started").pid


def statuses(ids: Collection[int]) -> Counter[str]:
    """Return how many of these tasks have which status."""
    return Counter(Task.objects.filter(pk__in=ids).values_list("status", flat=True))


def all_are(ids: Collection[int], status: str) -> bool:
    """Say whether every one of these tasks has this status."""
    return statuses(ids) == {status: len(set(ids))}


def assert_no_other_was_charged(ids: Collection[int]) -> None:
    """Fail when what happened to these tasks has cost any other one."""
    others = Task.objects.exclude(pk__in=ids)
    assert set(others.values_list("attempts", "rescues", "crashes")) == {(1, 0, 0)}


def _noted(note: str, ids: Collection[int]) -> Counter[int]:
    rows = Ledger.objects.filter(task_id__in=ids, note=note)
    return Counter(rows.values_list("task_id", flat=True))


def _problems(ids: Collection[int], waiting: set[int], *, is_deleting: bool) -> Iterator[Problem]:
    tasks = {task.pk: task for task in Task.objects.all()}
    executions = Counter(Ledger.objects.filter(note="started").values_list("task_id", "lease"))
    ends = set(Ledger.objects.filter(note="done").values_list("task_id", "lease"))
    yield from _lost(ids, tasks, ends, is_deleting=is_deleting)
    for (task_id, lease), count in executions.items():
        if count > 1:
            yield Problem(Broken.STALE, f"task {task_id} ran {count} times under lease {lease}")
    for task in tasks.values():
        yield from _problems_of(task, waiting)
    yield from _problems_of_attempts(tasks)
    for manager in ManagerProcess.objects.filter(state="stopping"):
        yield Problem(Broken.STUCK, f"{manager} stopped and left its row")


def _lost(
    ids: Collection[int],
    tasks: dict[int, Task],
    ends: set[tuple[int, int]],
    *,
    is_deleting: bool,
) -> Iterator[Problem]:
    finished = {task_id for task_id, _ in ends} if is_deleting else set()
    for task_id in set(ids) - set(tasks) - finished:
        yield Problem(Broken.LOST, f"task {task_id} is lost")


def _problems_of(task: Task, waiting: set[int]) -> Iterator[Problem]:
    if task.status not in Task.TERMINAL_STATUSES and task.pk not in waiting:
        yield Problem(
            Broken.STUCK, f"{task} has no end (lease {task.lease}, manager {task.manager_id})"
        )
    if task.status == Task.STATUS_IN_PROCESS:
        yield Problem(Broken.STUCK, f"{task} is in process without a live manager")
    result = task.result
    if isinstance(result, dict) and "lease" in result and result["lease"] != task.lease:
        yield Problem(
            Broken.STALE,
            f"{task} has the outcome of lease {result['lease']} under lease {task.lease}",
        )
    if task.attempts > 1 + task.retries + task.crashes:
        yield Problem(
            Broken.COUNTED_WRONG, f"{task} was charged {task.attempts} attempts: {_counters(task)}"
        )
    begun = Ledger.objects.filter(task_id=task.pk, note="started").count()
    if begun > task.lease:
        yield Problem(Broken.COUNTED_WRONG, f"{task} ran {begun} times: {_counters(task)}")


def _problems_of_attempts(tasks: dict[int, Task]) -> Iterator[Problem]:
    told = Counter(Attempt.objects.values_list("task_id", "lease"))
    for (task_id, lease), count in told.items():
        if count > 1:
            yield Problem(
                Broken.STALE,
                f"{count} outcomes of task {task_id} were recorded under lease {lease}",
            )
        if task_id in tasks and lease > tasks[task_id].lease:
            yield Problem(Broken.STALE, f"an outcome of task {task_id} has a lease from the future")
    failed = set(Attempt.objects.filter(outcome="failed").values_list("task_id", flat=True))
    for task in tasks.values():
        if task.status == Task.STATUS_ERROR and task.pk not in failed:
            yield Problem(Broken.COUNTED_WRONG, f"{task} does not tell why")


def _counters(task: Task) -> str:
    names = ("lease", "attempts", "retries", "postpones", "rescues", "crashes")
    return ", ".join(f"{name} {getattr(task, name)}" for name in names)
