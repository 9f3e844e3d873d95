"""Whatever several managers do to the tasks, in any order, the rows are as a small model says."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.db.models import F, Q
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from django_partisan import lifecycle
from django_partisan.attempt import ClaimedTask
from django_partisan.lifecycle import request_cancel, requests_to
from django_partisan.lifecycle.pauses import Target
from django_partisan.lifecycle.transitions import TRANSITION_OF, EndedAttempt
from django_partisan.models import Attempt, Pause, Task
from tests.conformance.small_model import MAX_CRASHES, Model, ModelTask
from tests.support.factories import ended_attempt, ids_of, record_and_claim
from tests.support.processors import Plain, Unique, UniqueUntilFinish

OWNERS = st.sampled_from([1, 2, 3])
KINDS = st.sampled_from(sorted(TRANSITION_OF))
# Counting from the newest, so that small numbers stay interesting while there are ever more.
RECENT = st.lists(st.integers(0, 8), max_size=5, unique=True)
QUEUE = Target("default")
PROCESSOR = Target(None, "tests.support.processors.Plain", ("tests.support.processors.Plain",))
COMPARED = (
    "status", "owner", "holds_key", "has_started", "is_to_be_cancelled", "lease", "attempts",
    "retries", "postpones", "rescues", "crashes", "repeats", "held_by",
)  # fmt: skip


class RivalManagers(RuleBasedStateMachine):
    """Three managers that claim, end, lose and take over tasks, often with stale leases."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.claims: list[ClaimedTask] = []
        # Rolled back, not deleted: dead rows of one transaction would slow the next examples down.
        self.block = transaction.atomic()
        self.block.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    @rule(priority=st.integers(-1, 1), is_future=st.booleans(), may_expire=st.booleans())
    def enqueue(self, priority: int, is_future: bool, may_expire: bool = False) -> None:
        task = Plain().delay(
            priority=priority,
            execute_after=3600 if is_future else None,
            expires=7200 if may_expire else None,
        )
        self.model.enqueue(ModelTask(id=task.pk, is_future=is_future, may_expire=may_expire))

    @rule(key=st.sampled_from("ab"), until_finish=st.booleans())
    def enqueue_unique(self, key: str, until_finish: bool) -> None:
        task = (UniqueUntilFinish if until_finish else Unique)(key).delay()
        holder = self.model.holder_of(key, until_finish)
        if holder is not None:
            assert task.pk == holder.id
            return
        assert task.pk not in self.model.tasks
        self.model.enqueue(ModelTask(id=task.pk, key=key, until_finish=until_finish))

    @rule(key=st.sampled_from("ab"), is_unique=st.booleans())
    def begin_chain(self, key: str, is_unique: bool) -> None:
        task = (Unique if is_unique else Plain)(key).delay(repeat=3600)
        # A chain has a key of its own, which its links hold until it ends.
        chain = f"{key} repeats" if is_unique else None
        holder = self.model.holder_of(chain, True) if is_unique else None
        if holder is not None:
            assert task.pk == holder.id
            return
        assert task.pk not in self.model.tasks
        link = ModelTask(id=task.pk, key=chain, until_finish=True, repeats=True)
        self.model.enqueue(link)

    @rule(owner=OWNERS, limit=st.integers(0, 4))
    def claim(self, owner: int, limit: int) -> None:
        order = Task.objects.filter(pk__in=self.model.due()).order_by(
            "priority", "execute_after", "pk"
        )
        expected = list(order.values_list("pk", flat=True)[:limit])
        claimed = lifecycle.claim("default", limit, owner)
        taken = self.model.claim(expected, owner)
        assert ids_of(claimed) == taken
        assert {each.id for each in claimed.aside} == set(expected) - set(taken)
        self.claims += claimed

    @rule(indexes=RECENT)
    def start(self, indexes: list[int]) -> None:
        tasks = self._recent(indexes)
        started = {task.id for task in tasks if self.model.start(task)}
        assert lifecycle.mark_started(tasks) == started

    @rule(indexes=RECENT, kinds=st.lists(KINDS, min_size=5, max_size=5), is_future=st.booleans())
    def record(self, indexes: list[int], kinds: list[str], is_future: bool) -> None:
        recent = self._recent(indexes)
        chosen = {task.id: (task, kind) for task, kind in zip(recent, kinds, strict=False)}
        outcomes = [(task, kind, is_future) for task, kind in chosen.values()]
        ended_attempts = [_ending(*outcome) for outcome in outcomes]
        recorded = lifecycle.record(ended_attempts, delete_finished=False, max_rescues=MAX_CRASHES)
        assert recorded == self.model.record(outcomes)
        self._follow([task.id for task, kind, _ in outcomes if kind == "finished"])

    @rule(indexes=RECENT, owner=OWNERS, limit=st.integers(0, 3))
    def record_and_claim(self, indexes: list[int], owner: int, limit: int) -> None:
        due = self.model.due()
        tasks = list({task.id: task for task in self._recent(indexes)}.values())
        ended_attempts = [ended_attempt(task) for task in tasks]
        recorded, claimed = record_and_claim(ended_attempts, limit, owner)
        assert recorded == self.model.record((task, "finished", False) for task in tasks)
        assert claimed.met == min(limit, len(due))
        met = [*ids_of(claimed), *(each.id for each in claimed.aside)]
        assert set(met) <= due
        assert self.model.claim(met, owner) == ids_of(claimed)
        self.claims += claimed

    @rule()
    def take_up(self) -> None:
        """Continue what was recorded together with a claim, which is not for chains."""
        links = [task.id for task in self.model.tasks.values() if task.is_forsaken]
        assert lifecycle.take_up() == len(links)
        self._follow(links)

    def _follow(self, ids: list[int]) -> None:
        new = Task.objects.exclude(pk__in=self.model.tasks).order_by("pk")
        self.model.follow(ids, list(new.values_list("pk", flat=True)))

    @rule(owner=OWNERS)
    def rescue(self, owner: int) -> None:
        rescued = lifecycle.rescue(
            Q(manager_id=owner), limit=1000, max_rescues=MAX_CRASHES, reason="it died"
        )
        assert rescued == self.model.rescue(owner)

    @rule(owner=OWNERS, successor=OWNERS)
    def take_over(self, owner: int, successor: int) -> None:
        adopted = lifecycle.take_over(
            Q(manager_id=owner),
            successor,
            queues=Q(queue_name="default"),
            limit=1000,
            max_rescues=MAX_CRASHES,
        )
        assert set(ids_of(adopted)) == self.model.take_over(owner, successor)
        self.claims += adopted

    @rule(indexes=RECENT)
    def requeue(self, indexes: list[int]) -> None:
        ids = self._newest(indexes)
        assert lifecycle.requeue(ids) == self.model.requeue(ids)

    @rule(indexes=RECENT)
    def cancel(self, indexes: list[int]) -> None:
        ids = self._newest(indexes)
        assert request_cancel(ids) == self.model.request_cancel(ids)

    @rule(owner=OWNERS)
    def look_for_requests(self, owner: int) -> None:
        assert requests_to(owner) == {
            task.id: task.lease
            for task in self.model.tasks.values()
            if task.owner == owner and task.is_to_be_cancelled
        }

    @rule()
    def pause_queue(self) -> None:
        assert lifecycle.pause(QUEUE, None, "", "").was_paused is self.model.queue_is_paused
        self.model.queue_is_paused = True

    @rule()
    def pause_processor(self) -> None:
        row = lifecycle.pause(PROCESSOR, None, "", "")
        assert row.was_paused is (self.model.pause_of_plain is not None)
        self.model.pause_plain(row.pk)

    @rule()
    def resume_queue(self) -> None:
        assert (lifecycle.resume(QUEUE) is not None) is self.model.queue_is_paused
        self.model.queue_is_paused = False
        self.model.free()

    @rule()
    def resume_processor(self) -> None:
        is_paused = self.model.pause_of_plain is not None
        assert (lifecycle.resume(PROCESSOR) is not None) is is_paused
        self.model.pause_of_plain = None
        self.model.free()

    @rule()
    def pauses_end_by_themselves(self) -> None:
        Pause.objects.update(until=F("paused_at"))
        self.model.queue_is_paused, self.model.pause_of_plain = False, None

    @rule()
    def free(self) -> None:
        assert len(lifecycle.free_held()) == self.model.free()

    @rule()
    def sweep(self) -> None:
        assert sorted(lifecycle.expire()) == sorted(self.model.expire())

    @rule()
    def time_is_up(self) -> None:
        Task.objects.filter(expires_at__isnull=False).update(expires_at=F("created_at"))
        self.model.time_is_up()

    @rule()
    def an_hour_passes(self) -> None:
        for task in self.model.tasks.values():
            task.is_future = False
        Task.objects.filter(status="new").update(execute_after=F("created_at"))

    @invariant()
    def every_row_is_as_the_model_says(self) -> None:
        rows = {row.pk: row for row in Task.objects.all()}
        assert rows.keys() == self.model.tasks.keys()
        for pk, expected in self.model.tasks.items():
            seen = {name: _seen(rows[pk], name) for name in COMPARED}
            assert seen == {name: getattr(expected, name) for name in COMPARED}

    @invariant()
    def every_attempt_worth_telling_is_told_once(self) -> None:
        told: dict[int, list[str]] = {pk: [] for pk in self.model.tasks}
        for task_id, outcome in Attempt.objects.order_by("pk").values_list("task_id", "outcome"):
            told[task_id].append(outcome)
        assert told == {pk: task.told for pk, task in self.model.tasks.items()}

    def _newest(self, indexes: list[int]) -> list[int]:
        newest = sorted(self.model.tasks, reverse=True)
        return [newest[index] for index in indexes if index < len(newest)]

    def _recent(self, indexes: list[int]) -> list[ClaimedTask]:
        return [self.claims[-1 - index] for index in indexes if index < len(self.claims)]


def _ending(task: ClaimedTask, kind: str, is_future: bool) -> EndedAttempt:
    waits = is_future and kind in {"retried", "postponed"}
    return ended_attempt(task, kind, delay_seconds=3600.0) if waits else ended_attempt(task, kind)


def _seen(row: Task, name: str) -> object:
    match name:
        case "owner":
            return row.manager_id
        case "holds_key":
            return row.unique_key is not None
        case "has_started":
            return row.started_at is not None and row.status == "in_process"
        case "is_to_be_cancelled":
            return row.cancel_requested_at is not None
        case "repeats":
            return row.repeat_seconds is not None
    return getattr(row, name)


@pytest.mark.django_db
def test_rivals_leave_every_row_as_the_model_says() -> None:
    run_state_machine_as_test(
        RivalManagers,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
