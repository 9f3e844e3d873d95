"""The book of a test's tasks, and what the database tells of them for the ledger's rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from operator import attrgetter

from django.db import transaction

from django_partisan.lifecycle.notifications import announce
from django_partisan.lifecycle.rows import database
from django_partisan.models import Attempt, ManagerProcess, Task
from django_partisan.processor import BaseTaskProcessor
from tests.app.models import Ledger
from tests.support.helpers import wait_until
from tools.ledger import Account, Broken, Problem, doubled, lost, wrong

_COUNTERS = attrgetter("status", "lease", "attempts", "retries", "postpones", "rescues", "crashes")


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
        expires: float | None = None,
        queue: str | None = None,
    ) -> list[int]:
        """Enqueue tasks in one transaction and return their ids; ``queue`` is theirs for once."""
        options = {"priority": priority, "execute_after": execute_after, "expires": expires}
        with transaction.atomic():
            ids = [
                processor.delay(**options).pk  # type: ignore[arg-type]
                for processor in processors
            ]
            if queue is not None:
                Task.objects.filter(pk__in=ids).update(queue_name=queue)
                announce(database(), queue)
        self.ids += ids
        return ids

    def run(self, *processors: BaseTaskProcessor) -> None:
        """Enqueue tasks and return when all of them have finished."""
        ids = self.enqueue(*processors)
        wait_until(lambda: all_are(ids, "finished"), message=lambda: f"finished: {statuses(ids)}")

    def begin(
        self,
        *processors: BaseTaskProcessor,
        running: int | None = None,
        queue: str | None = None,
    ) -> list[int]:
        """Enqueue tasks, and return when all of them, or as many as said, have started."""
        ids = self.enqueue(*processors, queue=queue)
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
    notes = Ledger.objects.values_list("task_id", "lease")
    executions = Counter(notes.filter(note="started"))
    ended = {task_id for task_id, _ in notes.filter(note="done")} if is_deleting else set()
    yield from lost(set(ids), tasks.keys() | ended)
    yield from doubled(executions, "ran")
    runs = Counter(task_id for task_id, _ in executions.elements())
    for task in tasks.values():
        yield from wrong(account_of(task), runs[task.pk], may_wait=task.pk in waiting)
        yield from _stale_result(task)
    yield from _problems_of_attempts(tasks)
    for manager in ManagerProcess.objects.filter(state="stopping"):
        yield Problem(Broken.STUCK, f"{manager} stopped and left its row")


def account_of(task: Task) -> Account:
    """Return what the ledger's rule looks at."""
    return Account(str(task), *_COUNTERS(task))


def _stale_result(task: Task) -> Iterator[Problem]:
    result = task.result
    if isinstance(result, dict) and "lease" in result and result["lease"] != task.lease:
        yield Problem(
            Broken.STALE,
            f"{task} has the outcome of lease {result['lease']} under lease {task.lease}",
        )


def _problems_of_attempts(tasks: dict[int, Task]) -> Iterator[Problem]:
    told = Counter(Attempt.objects.values_list("task_id", "lease"))
    yield from doubled(told, "was recorded")
    for task_id, lease in told:
        if task_id in tasks and lease > tasks[task_id].lease:
            yield Problem(Broken.STALE, f"an outcome of task {task_id} has a lease from the future")
    failed = set(Attempt.objects.filter(outcome="failed").values_list("task_id", flat=True))
    for task in tasks.values():
        if task.status == Task.STATUS_ERROR and task.pk not in failed:
            yield Problem(Broken.COUNTED_WRONG, f"{task} does not tell why")
