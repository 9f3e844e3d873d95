"""What the documentation of 1.6.1 promised and its code broke, held at the level of rows."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from django.test import override_settings

from django_partisan import execution, registry
from django_partisan.attempt import ClaimedTask
from django_partisan.config import const
from django_partisan.config.processor_configs import ErrorsHandleConfig, PostponeConfig
from django_partisan.exceptions import PostponeTask
from django_partisan.lifecycle.transitions import EndedAttempt
from django_partisan.models import Task
from django_partisan.processor import BaseTaskProcessor
from tests.support.factories import (
    attempts_of,
    claim,
    ids_of,
    record,
    row_of,
    seconds_from_now,
    statuses,
)
from tests.support.processors import InOtherQueue, Plain

pytestmark = pytest.mark.django_db


class ServerBusyError(Exception):
    """An error that a second try may not meet."""


@registry.register
class Flaky(BaseTaskProcessor):
    """Raises, postpones or returns, as its arguments say for each of its tries."""

    RETRY_ON_ERROR_CONFIG = ErrorsHandleConfig(
        retry_on_errors=(ServerBusyError,),
        retries_count=3,
        retry_pause=3,
        retry_pause_strategy=const.DELAY_STRATEGY_INCREMENTAL,
    )
    POSTPONE_CONFIG = PostponeConfig(max_postpones=2)

    def run(self) -> Any:
        assert self.task_obj is not None
        done = self.task_obj.tries_count + self.task_obj.postpones_count
        match self.args[done]:
            case "busy":
                raise ServerBusyError
            case "later":
                raise PostponeTask
            case "broken":
                raise ZeroDivisionError
        return self.args[done]


def run_once() -> ClaimedTask:
    """Claim the one waiting task as if its time had come, run it and record how it ended."""
    Task.objects.filter(status="new").update(execute_after="2001-01-01T00:00:00Z")
    [task] = claim(1)
    assert record(EndedAttempt(task=task, outcome=execution.execute(task))) == {task.id}
    return task


def test_a_lower_number_is_a_higher_priority() -> None:
    low, high, middle = (Plain().delay(priority=priority) for priority in (30, 1, 10))
    assert ids_of(claim()) == ids_of([high, middle, low])


def test_priority_zero_is_kept_and_comes_before_one() -> None:
    one = Plain().delay(priority=1)
    zero = Plain().delay(priority=0)
    assert zero.priority == 0
    assert ids_of(claim()) == ids_of([zero, one])


def test_tasks_of_one_priority_are_first_in_first_out() -> None:
    tasks = [Plain(number).delay() for number in range(20)]
    assert ids_of(claim(7)) + ids_of(claim(13)) == ids_of(tasks)


def test_the_queue_name_of_a_processor_is_honoured() -> None:
    task = InOtherQueue().delay()
    assert row_of(task).queue_name == "other"


def test_the_old_attribute_queue_is_honoured_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"OldStyle\.QUEUE is deprecated, write QUEUE_NAME"):

        @registry.register
        class OldStyle(Plain):
            QUEUE = "other"

    assert row_of(OldStyle().delay()).queue_name == "other"


def test_queue_name_wins_over_the_old_attribute_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Both(Plain):
            QUEUE = "default"
            QUEUE_NAME = "other"

    assert Both.QUEUE_NAME == "other"


def test_queues_are_separate() -> None:
    here, there = Plain().delay(), InOtherQueue().delay()
    assert ids_of(claim(queue="other")) == [there.id]
    assert ids_of(claim()) == [here.id]


def test_a_processor_is_unique_for_its_parameters_by_default() -> None:
    assert BaseTaskProcessor.UNIQUE_FOR_PARAMS is True
    assert Flaky("a", b=1).delay().pk == Flaky("a", b=1).delay().pk
    assert Flaky("a", b=2).delay().pk != Flaky("a", b=1).delay().pk


def test_a_retried_task_waits_again_and_runs_to_its_end() -> None:
    task = Flaky("busy", "busy", "done").delay()
    run_once()
    assert statuses() == ["new"]
    run_once()
    run_once()
    row = row_of(task)
    assert (row.status, row.result, row.tries_count, row.attempts) == ("finished", "done", 2, 3)


def test_the_pause_before_a_retry_grows_with_each_try() -> None:
    task = Flaky("busy", "busy", "busy", "busy").delay()
    for pause in (3, 6, 9):
        run_once()
        assert seconds_from_now(row_of(task).execute_after) == pytest.approx(pause, abs=2)
    run_once()
    assert statuses() == ["error"]
    assert [attempt.outcome for attempt in attempts_of(task)] == ["retried"] * 3 + ["failed"]


def test_an_error_that_no_rule_covers_fails_at_once_with_its_traceback() -> None:
    Flaky("broken").delay()
    task = run_once()
    assert statuses() == ["error"]
    [attempt] = attempts_of(task)
    assert attempt.error_type == "ZeroDivisionError"
    assert "raise ZeroDivisionError" in attempt.traceback


def test_a_postponed_task_waits_again_and_runs_to_its_end() -> None:
    task = Flaky("later", "done").delay()
    run_once()
    assert statuses() == ["new"]
    run_once()
    row = row_of(task)
    assert (row.status, row.result, row.postpones_count, row.attempts) == ("finished", "done", 1, 1)


@override_settings(PARTISAN_CONFIG={"default": {}, "other": {"DEFAULT_POSTPONE_DELAY_SECONDS": 77}})
def test_the_default_delay_of_a_postpone_is_that_of_the_tasks_own_queue() -> None:
    task = Flaky("later").delay()
    Task.objects.update(queue_name="other")
    [claimed] = claim(queue="other")
    record(EndedAttempt(task=claimed, outcome=execution.execute(claimed)))
    assert seconds_from_now(row_of(task).execute_after) == pytest.approx(77, abs=2)


def test_a_task_postponed_too_often_ends_in_error() -> None:
    task = Flaky("later", "later", "later").delay()
    for _ in range(3):
        run_once()
    assert statuses() == ["error"]
    assert attempts_of(task)[0].error_type == "django_partisan.exceptions.MaxPostponesReached"
    assert row_of(task).postpones_count == 2


@override_settings(PARTISAN_CONFIG={"default": {"DEFAULT_POSTPONES_COUNT": 1}})
def test_the_processors_own_limit_of_postpones_wins_over_the_queues() -> None:
    Flaky("later", "later", "done").delay()
    for _ in range(3):
        run_once()
    assert statuses() == ["finished"]


def test_retries_and_postpones_are_counted_apart_and_never_reset_each_other() -> None:
    task = Flaky("busy", "later", "busy", "later", "busy", "done").delay()
    counts = []
    for _ in range(6):
        run_once()
        row = row_of(task)
        counts.append((row.tries_count, row.postpones_count))
    assert counts == [(1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 2)]
    assert statuses() == ["finished"]


def test_a_processor_with_its_own_constructor_gets_its_arguments_back() -> None:
    @registry.register
    class Greeting(BaseTaskProcessor):
        def __init__(self, name: str, *, loud: bool = False) -> None:
            super().__init__(name, loud=loud)
            self.text = f"hello {name}{'!' * loud}"

        def run(self) -> str:
            return self.text

    Greeting("you", loud=True).delay()
    assert row_of(run_once()).result == "hello you!"
