"""Tasks of decorated functions are stored, found and run by the rules of any processor."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from django_partisan import checks, control
from django_partisan.models import StoredSchedule, Task
from django_partisan.processor import processor
from django_partisan.registry.registry import registry
from django_partisan.schedules import Schedule
from tests.app.functions import add, charge, touch
from tests.integration.processor.test_discovery import refusals

pytestmark = pytest.mark.django_db

FUNCTION = """
from django_partisan.processor import processor
@processor
def Here(x=1): ...
"""


@processor(
    schedules=[
        Schedule("30 8 * * *", args=(1,)),
        Schedule(every=timedelta(hours=1), args=(1, 2), name="hourly"),
    ]
)
def scheduled(only: int) -> None: ...


# Managers of other tests would store its schedules.
del registry._by_stored_name["tests.integration.processor.test_functions.scheduled"]


@processor(schedulable=True)
def schedulable(only: int) -> None: ...


def test_a_task_is_stored_under_the_name_of_its_function_with_its_arguments() -> None:
    task = add.delay(1, times=3)
    task.refresh_from_db()
    assert task.processor_class == "tests.app.functions.add"
    assert task.arguments == {"args": [1], "kwargs": {"times": 3}}
    assert (task.priority, task.queue_name, task.status) == (10, "default", "new")


def test_what_runs_it_returns_what_the_function_returns() -> None:
    add.delay(1, 4, times=3)
    [task] = Task.objects.select_for_process()
    assert task.run() == 15
    task.complete()
    assert task.status == "finished"


def test_options_are_those_of_delay() -> None:
    later = touch.options(priority=-3, execute_after=3600, expires=60).delay("x")
    assert (later.priority, later.expires_at) == (-3, later.execute_after + timedelta(minutes=1))
    assert touch.delay("x").priority == 3
    chain = add.options(repeat=60).delay(1)
    assert chain.repeat_seconds == 60
    many = touch.options(priority=8).delay_many([("x",), ("y",)])
    assert [task.priority for task in many] == [8, 8]


def test_options_can_be_kept_and_used_again() -> None:
    urgent = touch.options(priority=0)
    assert [urgent.delay("x").priority, urgent.delay("y").priority] == [0, 0]


def test_delay_many_takes_tuples_of_positional_arguments() -> None:
    tasks = add.delay_many((number, 1) for number in range(3))
    assert [task.arguments["args"] for task in tasks] == [[0, 1], [1, 1], [2, 1]]
    assert [task.was_duplicate for task in add.delay_many([(0, 1), (5,)])] == [True, False]


def test_duplicates_are_kept_out_by_the_arguments_that_count() -> None:
    first = charge.delay("ann", {"number": "1"})
    again = charge.delay(user="ann", card={"number": "2"})
    assert (again.pk, again.was_duplicate) == (first.pk, True)
    assert charge.delay("bob", {"number": "1"}).pk != first.pk


def test_a_function_can_be_paused() -> None:
    pause = control.pause(processor=add)
    assert pause.processor_class == "tests.app.functions.add"
    assert control.resume(processor=add)


def test_its_schedules_are_those_of_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {scheduled.processor.__module__ + ".scheduled": scheduled.processor}
    monkeypatch.setattr(registry, "_by_stored_name", {**registry._by_stored_name, **known})
    [wrong] = [each.msg for each in checks.check_processors() if "scheduled" in each.msg]
    assert "scheduled.SCHEDULES[1] has arguments that the processor does not take" in wrong
    assert "too many positional arguments" in wrong


def test_checks_have_nothing_to_say_of_functions_without_a_mistake() -> None:
    said = [message.msg for message in checks.check_processors()]
    assert not [text for text in said if "tests.app.functions" in text], said


def test_a_function_that_workers_would_not_load_is_refused() -> None:
    told = refusals(
        f"{FUNCTION.replace('Here', 'late')}\nHere = lambda: late; Here = late.processor"
    )
    assert len(told) == 2
    for line in told:
        assert "Processor class __main__.late would not be found by workers" in line


def test_a_stored_schedule_may_be_one_of_a_function() -> None:
    name = f"{__name__}.schedulable"
    row = StoredSchedule.objects.create(key="k", processor_class=name, args=[1], cron="0 0 * * *")
    task = row.run_now()
    assert (task.processor_class, task.arguments) == (name, {"args": [1], "kwargs": {}})
    with pytest.raises(ValidationError, match="too many positional arguments"):
        StoredSchedule.objects.create(key="l", processor_class=name, args=[1, 2], cron="0 0 * * *")
