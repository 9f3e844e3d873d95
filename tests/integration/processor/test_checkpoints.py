"""A processor saves from where it goes on: under its lease, and with a transaction's effects."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from django_partisan import lifecycle
from django_partisan.attempt import ClaimedTask, Interim
from django_partisan.exceptions import LeaseLost
from django_partisan.execution.interims import hearing
from django_partisan.models import Progress, Task
from django_partisan.processor import BaseTaskProcessor
from tests.app.models import Ledger
from tests.support.factories import RIVAL, claim, claim_new, ended_attempt, finish, rescue

pytestmark = pytest.mark.django_db(transaction=True)


class Import(BaseTaskProcessor):
    def run(self) -> None:
        """Do nothing."""


class ImportAnew(Import):
    SCHEMA_VERSION = 3

    @classmethod
    def upgrade_checkpoint(cls, version: int, state: Any) -> Any:
        return {"from": version, "state": state}


class Heard(list[Interim]):
    def note(self, interim: Interim) -> None:
        self.append(interim)

    def has_heard(self, task: ClaimedTask) -> bool:
        return any(told[:2] == task[:2] for told in self)


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    heard = Heard()
    monkeypatch.setattr(hearing, "listener", heard)
    return heard


def bound(task: ClaimedTask, kind: type[BaseTaskProcessor] = Import) -> BaseTaskProcessor:
    processor = kind()
    processor.bind(task)
    return processor


def again(task: ClaimedTask, kind: type[BaseTaskProcessor] = Import) -> BaseTaskProcessor:
    """Return the processor of the next attempt at a task."""
    rescue(Q(manager_id__isnull=False))
    [claimed] = claim(owner=RIVAL)
    assert claimed.id == task.id
    return bound(claimed, kind)


def write_all(heard: Heard) -> set[int]:
    return lifecycle.write_interims([told for told in heard if told.checkpoint])


def test_at_first_there_is_none_and_nobody_asks_the_database() -> None:
    [task] = claim_new()
    with CaptureQueriesContext(connection) as statements:
        assert bound(task).checkpointed is None
    assert not statements


def test_a_checkpoint_is_told_and_costs_no_statement(heard: Heard) -> None:
    [task] = claim_new()
    processor = bound(task)
    with CaptureQueriesContext(connection) as statements:
        processor.checkpoint({"page": 1})
        processor.checkpoint({"page": 2})
        assert processor.checkpointed == {"page": 2}
    assert not statements
    first, second = heard
    assert first[:2] == second[:2] == task[:2]
    assert first.number < second.number
    assert write_all(Heard([second])) == {task.id}
    assert again(task).checkpointed == {"page": 2}


def test_what_was_given_may_change_afterwards() -> None:
    [task] = claim_new()
    processor, state = bound(task), {"seen": [1]}
    processor.checkpoint(state)
    state["seen"].append(2)
    assert processor.checkpointed == {"seen": [1]}


def test_a_durable_one_is_there_when_the_call_returns(heard: Heard) -> None:
    [task] = claim_new()
    processor = bound(task)
    with CaptureQueriesContext(connection) as statements:
        processor.checkpoint([3], durable=True)
    assert len(statements) == 1
    assert Progress.objects.get(pk=task.id).checkpoint == "[3]"
    assert processor.checkpointed == [3]
    # So that it is forgotten in the end; it holds nothing that could be written.
    assert [(one.done, one.checkpoint, one.number > 0) for one in heard] == [(None, None, True)]


def test_what_was_told_before_does_not_undo_a_durable_one(heard: Heard) -> None:
    [task] = claim_new()
    processor = bound(task)
    processor.checkpoint("told")
    processor.checkpoint("durable", durable=True)
    write_all(heard)
    assert again(task).checkpointed == "durable"


def test_what_is_told_after_a_durable_one_holds(heard: Heard) -> None:
    [task] = claim_new()
    processor = bound(task)
    processor.checkpoint("durable", durable=True)
    processor.checkpoint("told")
    write_all(heard)
    assert again(task).checkpointed == "told"


def test_in_a_transaction_it_commits_with_the_effects() -> None:
    [task] = claim_new()
    processor = bound(task)
    with transaction.atomic():
        Ledger.objects.create(task_id=task.id)
        processor.checkpoint(1)
        assert not processor.checkpointed
    assert processor.checkpointed == 1
    with transaction.atomic():
        Ledger.objects.create(task_id=task.id)
        processor.checkpoint(2)
        transaction.set_rollback(True)
    assert processor.checkpointed == 1
    assert Ledger.objects.count() == 1
    assert again(task).checkpointed == 1


def test_a_savepoint_that_is_rolled_back_takes_its_checkpoint_along() -> None:
    [task] = claim_new()
    processor = bound(task)
    with transaction.atomic():
        processor.checkpoint(1)
        with transaction.atomic():
            processor.checkpoint(2)
            transaction.set_rollback(True)
    assert processor.checkpointed == 1
    assert again(task).checkpointed == 1


def test_a_zombie_commits_neither_its_checkpoint_nor_its_effects() -> None:
    [task] = claim_new()
    zombie = bound(task)
    heir = again(task)
    heir.checkpoint("heir", durable=True)
    with pytest.raises(LeaseLost, match="its checkpoint is not saved"):
        zombie.checkpoint("zombie", durable=True)
    with transaction.atomic():
        Ledger.objects.create(task_id=task.id)
        with pytest.raises(LeaseLost):
            zombie.checkpoint("zombie")
    assert not Ledger.objects.exists()
    assert again(task).checkpointed == "heir"


def test_what_a_zombie_has_told_changes_nothing(heard: Heard) -> None:
    [task] = claim_new()
    zombie = bound(task)
    zombie.checkpoint("zombie")
    heir = again(task)
    assert write_all(heard) == set()
    assert heir.checkpointed is None


def test_what_has_ended_saves_nothing_durably() -> None:
    [task] = claim_new()
    processor = bound(task)
    finish(task)
    with pytest.raises(LeaseLost):
        processor.checkpoint(1, durable=True)


def test_the_checkpoint_of_another_version_is_upgraded() -> None:
    [task] = claim_new()
    bound(task).checkpoint({"page": 1}, durable=True)
    newer = again(task, ImportAnew)
    assert newer.checkpointed == {"from": 1, "state": {"page": 1}}
    newer.checkpoint([5], durable=True)
    assert again(task, ImportAnew).checkpointed == [5]
    assert again(task).checkpointed == [5]  # Unless a class says otherwise, as it is.


def test_a_finished_task_has_none_any_more() -> None:
    [task] = claim_new()
    bound(task).checkpoint(1, durable=True)
    end = [ended_attempt(task)]
    lifecycle.record(end, delete_finished=False, max_rescues=3, tellers={task.id})
    row = Progress.objects.get(pk=task.id)
    assert (row.checkpoint, row.checkpointed_at) == (None, None)


@pytest.mark.parametrize("status", ["error", "cancelled"])
def test_what_had_not_finished_goes_on_when_it_is_put_back(status: str) -> None:
    [task] = claim_new()
    bound(task).checkpoint(1, durable=True)
    Progress.objects.update(resumptions=5)
    Task.objects.filter(pk=task.id).update(status=status)
    lifecycle.requeue([task.id])
    assert lifecycle.stored_checkpoint(task.id) is not None
    assert Progress.objects.get().resumptions == 0


def test_without_a_task_nothing_is_saved(heard: Heard) -> None:
    class CountTo(BaseTaskProcessor):
        def run(self) -> Any:
            before = self.checkpointed
            self.checkpoint({"at": 1})
            self.checkpoint({"at": 2}, durable=True)
            return before, self.checkpointed

    assert CountTo().run_now() == (None, {"at": 2})
    with pytest.raises(TypeError, match=r"checkpoint\(\) of CountTo"):
        CountTo().checkpoint(object())
    assert not heard
    assert not Progress.objects.exists()


def test_a_task_that_is_run_as_with_1_6_1_saves_it_at_once() -> None:
    claim_new()
    rescue()
    [task] = Task.objects.select_for_process(1)
    processor = Import()
    processor.set_task_object(task)
    processor.checkpoint(4)
    processor.progress(1, 2)
    told = task.progress
    assert told is not None
    assert told.fraction == 0.5
    fresh = Import()
    fresh.set_task_object(task)
    assert fresh.checkpointed == 4
    task.complete()
    assert lifecycle.stored_checkpoint(task.pk) is None
    assert task.progress == told
