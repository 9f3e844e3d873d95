"""A model of the tasks, small enough to be obviously right, to compare a database with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django_partisan.attempt import ClaimedTask

TERMINAL = ("finished", "error", "cancelled")
MAX_CRASHES = 2


@dataclass(kw_only=True)
class ModelTask:
    """What one row should hold."""

    id: int
    key: str | None = None
    until_finish: bool = False
    is_future: bool = False
    repeats: bool = False
    status: str = "new"
    owner: int | None = None
    holds_key: bool = False
    has_started: bool = False
    is_to_be_cancelled: bool = False
    held_by: int | None = None
    may_expire: bool = False
    has_expired: bool = False
    lease: int = 0
    attempts: int = 0
    retries: int = 0
    postpones: int = 0
    rescues: int = 0
    crashes: int = 0
    told: list[str] = field(default_factory=list)

    def is_held_under(self, lease: int) -> bool:
        return self.status == "in_process" and self.lease == lease

    @property
    def is_forsaken(self) -> bool:
        return self.status == "finished" and self.repeats

    def leave(self, status: str, told: str = "") -> None:
        if status == "new" and self.is_to_be_cancelled:
            status, told = "cancelled", told and "cancelled"
        self.status, self.owner, self.has_started, self.held_by = status, None, False, None
        if status != "new":
            self.holds_key = False
        if told:
            self.told.append(told)

    def be_orphaned(self, is_charged: bool) -> None:
        self.lease += 1
        if is_charged and self.crashes >= MAX_CRASHES:
            self.crashes += 1
            return self.leave("error", "failed")
        self.rescues += 1
        self.crashes += is_charged
        self.attempts -= not is_charged
        return self.leave("new", "rescued")


class Model:
    """All tasks, and every verb as one would explain it to a person."""

    def __init__(self) -> None:
        self.tasks: dict[int, ModelTask] = {}
        self.queue_is_paused = False
        self.pause_of_plain: int | None = None

    def holder_of(self, key: str | None, until_finish: bool) -> ModelTask | None:
        same = (
            task
            for task in self.tasks.values()
            if key and task.holds_key and (task.key, task.until_finish) == (key, until_finish)
        )
        return next(same, None)

    def enqueue(self, task: ModelTask) -> None:
        task.holds_key = task.key is not None
        self.tasks[task.id] = task

    def due(self) -> set[int]:
        """Return what a claim may meet now."""
        if self.queue_is_paused:
            return set()
        waiting = (t for t in self.tasks.values() if t.status == "new" and t.held_by is None)
        return {task.id for task in waiting if not task.is_future}

    def claim(self, ids: Iterable[int], owner: int) -> list[int]:
        """Return which of the tasks that a claim met were taken."""
        taken = []
        for task in map(self.tasks.__getitem__, ids):
            if task.has_expired:
                task.leave("cancelled", "cancelled")
            elif self.is_paused(task):
                task.held_by = self.pause_of_plain
            else:
                taken.append(task.id)
                task.status, task.owner, task.has_started = "in_process", owner, False
                task.lease += 1
                task.attempts += 1
                task.holds_key = task.holds_key and task.until_finish
        return taken

    def is_paused(self, task: ModelTask) -> bool:
        return self.pause_of_plain is not None and task.key is None

    def pause_plain(self, pause_id: int) -> None:
        self.pause_of_plain = pause_id
        for task in self.tasks.values():
            if task.status == "new" and task.key is None and task.held_by is None:
                task.held_by = pause_id

    def free(self) -> int:
        held = [t for t in self.tasks.values() if t.held_by not in (None, self.pause_of_plain)]
        for task in held:
            task.held_by = None
        return len(held)

    def expire(self) -> list[int]:
        expired = [t for t in self.tasks.values() if t.status == "new" and t.has_expired]
        for task in expired:
            task.leave("cancelled", "cancelled")
        return [task.id for task in expired]

    def time_is_up(self) -> None:
        for task in self.tasks.values():
            task.has_expired = task.may_expire

    def start(self, claimed: ClaimedTask) -> bool:
        task = self.tasks[claimed.id]
        held = task.is_held_under(claimed.lease)
        task.has_started = task.has_started or held
        return held

    def record(self, outcomes: Iterable[tuple[ClaimedTask, str, bool]]) -> set[int]:
        recorded = []
        for claimed, kind, is_future in outcomes:
            task = self.tasks[claimed.id]
            if task.is_held_under(claimed.lease):
                recorded.append(task)
                self._end(task, kind)
                if kind in {"retried", "postponed"}:
                    task.is_future = is_future
        self._regain(recorded)
        return {task.id for task in recorded}

    def follow(self, ids: Iterable[int], new_ids: list[int]) -> None:
        """Let the repeat of each finished link move on to a new task, unless its end was wanted."""
        links = [self.tasks[pk] for pk in sorted(ids) if self.tasks[pk].is_forsaken]
        new = iter(new_ids)
        for link in links:
            key, link.key, link.repeats = link.key, None, False
            if link.is_to_be_cancelled or self.holder_of(key, until_finish=True):
                continue
            self.enqueue(
                ModelTask(id=next(new), key=key, until_finish=True, repeats=True, is_future=True)
            )
        assert not list(new)

    def rescue(self, owner: int) -> list[int]:
        orphans = [task for task in self.tasks.values() if task.owner == owner]
        for task in orphans:
            task.be_orphaned(task.has_started)
        self._regain(orphans)
        return sorted(task.id for task in orphans)

    def take_over(self, owner: int, successor: int) -> set[int]:
        adopted = set()
        for task in [task for task in self.tasks.values() if task.owner == owner]:
            if task.is_to_be_cancelled or self.queue_is_paused or self.is_paused(task):
                continue
            if task.has_started and task.crashes >= MAX_CRASHES:
                task.be_orphaned(is_charged=True)
                continue
            adopted.add(task.id)
            task.owner, task.lease, task.rescues = successor, task.lease + 1, task.rescues + 1
            task.crashes += task.has_started
            task.attempts += task.has_started
            task.has_started = False
        return adopted

    def requeue(self, ids: Iterable[int]) -> list[int]:
        moved = [self.tasks[pk] for pk in sorted(ids) if self.tasks[pk].status in TERMINAL]
        for task in moved:
            task.is_to_be_cancelled = task.is_future = task.may_expire = task.has_expired = False
            task.leave("new")
            task.attempts = task.retries = task.postpones = task.rescues = task.crashes = 0
        self._regain(moved)
        return [task.id for task in moved]

    def request_cancel(self, ids: Iterable[int]) -> tuple[list[int], list[int]]:
        alive = [self.tasks[pk] for pk in sorted(ids) if self.tasks[pk].status not in TERMINAL]
        waiting = [task for task in alive if task.status == "new"]
        for task in alive:
            task.is_to_be_cancelled = True
        for task in waiting:
            task.leave("cancelled")
        return [task.id for task in waiting], [t.id for t in alive if t not in waiting]

    def _end(self, task: ModelTask, kind: str) -> None:  # noqa: C901 - one arm for each kind
        match kind:
            case "finished":
                task.leave("finished")
            case "failed" | "cancelled":
                task.leave("error" if kind == "failed" else kind, kind)
            case "expired":
                task.leave("cancelled", "cancelled")
                task.attempts -= 1
            case "retried":
                task.leave("new", "retried")
                task.retries += 1
            case "resumed":
                task.leave("new", "retried")
                task.retries = 1
            case "postponed":
                task.leave("new")
                task.postpones += 1
                task.attempts -= 1
            case "released":
                task.leave("new")
                task.attempts -= 1
            case "crashed":
                task.be_orphaned(is_charged=True)
            case "orphaned":
                task.be_orphaned(is_charged=False)

    def _regain(self, tasks: Iterable[ModelTask]) -> None:
        for task in sorted(tasks, key=lambda task: task.id):
            is_free = self.holder_of(task.key, task.until_finish) is None
            if task.status == "new" and task.key and is_free:
                task.holds_key = True
