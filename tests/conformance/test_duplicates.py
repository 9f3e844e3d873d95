"""A duplicate tells that it is one, and so does a task whose end cannot be recorded."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from django_partisan.exceptions import LeaseLost, TaskNotInProcess
from django_partisan.models import Task
from tests.support.factories import claim, enqueue
from tests.support.processors import Earliest, Plain, Replacing, Unique, UniqueUntilFinish

pytestmark = pytest.mark.django_db
KEYED = pytest.mark.parametrize("processor_class", [Unique, UniqueUntilFinish, Replacing, Earliest])


@KEYED
def test_a_duplicate_tells_that_it_is_one(processor_class: type[Unique]) -> None:
    first = processor_class("same").delay(execute_after=60)
    second = processor_class("same").delay(execute_after=30)
    third = processor_class("same").delay(execute_after=90)
    assert first.pk == second.pk == third.pk
    assert [task.was_duplicate for task in (first, second, third)] == [False, True, True]
    assert not processor_class("other").delay().was_duplicate


@KEYED
def test_a_task_after_the_claim_of_its_duplicate_is_new(processor_class: type[Unique]) -> None:
    processor_class("same").delay()
    claim()
    is_held = processor_class is UniqueUntilFinish
    assert processor_class("same").delay().was_duplicate is is_held


@KEYED
def test_duplicates_in_a_batch_tell_so(processor_class: type[Unique]) -> None:
    waiting = processor_class(1).delay()
    tasks = processor_class.delay_many([(1,), (2,), (2,), (3,), (1,)])
    assert [task.was_duplicate for task in tasks] == [True, False, True, False, True]
    assert tasks[0].pk == tasks[4].pk == waiting.pk
    assert tasks[1].pk == tasks[2].pk


def test_tasks_that_are_not_unique_are_no_duplicates() -> None:
    tasks = [Plain(1).delay(), *Plain.delay_many([(1,), (1,)])]
    assert not any(task.was_duplicate for task in tasks)


def _completed() -> Task:
    enqueue()
    [task] = Task.objects.select_for_process(1)
    task.complete()
    return task


def _cancelled() -> Task:
    [task] = enqueue()
    task.cancel()
    return task


@pytest.mark.parametrize(
    "given", [lambda: enqueue()[0], _cancelled, _completed], ids=["new", "cancelled", "finished"]
)
@pytest.mark.parametrize("end", [Task.complete, lambda task: task.fail(ValueError("no"))])
def test_the_end_of_a_task_that_is_not_in_process_is_refused(given: Any, end: Any) -> None:
    task = given()
    status = task.status
    with pytest.raises(TaskNotInProcess, match=r"not in process.*select_for_process") as caught:
        end(task)
    assert isinstance(caught.value, LeaseLost)
    with transaction.atomic():
        assert Task.objects.get(pk=task.pk).status == status
