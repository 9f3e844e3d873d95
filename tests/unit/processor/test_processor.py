"""A processor refuses what could not run later, before anything is stored.

No test here may touch the database: pytest-django raises when one does, which is the proof that
a refused `.delay()` stores nothing.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone as django_timezone
from django.utils.translation import gettext_lazy

from django_partisan import registry
from django_partisan.config.moments import in_utc
from django_partisan.exceptions import PostponeTask, ProcessorClassNotFound, UnknownQueue
from django_partisan.models import Task
from django_partisan.processor import BaseTaskProcessor
from tests.app.models import Ledger
from tests.support.factories import claimed_task


@registry.register
class Mailing(BaseTaskProcessor):
    def run(self) -> Any:
        return self.task_obj


class Unregistered(Mailing):
    """Nobody registered it."""


@registry.register
class InUnknownQueue(Mailing):
    QUEUE_NAME = "defualt"


NAIVE = datetime(2024, 1, 1)  # what people pass by mistake
LAST_MOMENT = datetime.max.replace(tzinfo=timezone(timedelta(hours=-11)))


def _itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


NOT_JSON: list[Any] = [
    object(),
    {1, 2},
    b"bytes",
    Decimal("1.5"),
    NAIVE,
    Ledger(pk=3),
    gettext_lazy("lazy"),
    {1: "key"},
    [{"deep": [{"er": object()}]}],
    F("id"),
]
NOT_STORABLE: list[Any] = [
    "nul \0",
    "lone \ud800",
    {"key \0": 1},
    math.nan,
    math.inf,
    [-math.inf],
    _itself(),
    _nested(5000),
    10**5000,
]


def _name(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("bad", NOT_JSON, ids=_name)
def test_an_argument_that_is_not_json_is_refused_by_its_place(bad: Any) -> None:
    with pytest.raises(TypeError, match="argument 2 of Mailing"):
        Mailing("fine", bad).delay()


@pytest.mark.parametrize("bad", NOT_STORABLE, ids=_name)
def test_an_argument_that_no_database_can_store_is_refused_by_its_name(bad: Any) -> None:
    with pytest.raises(ValueError, match="keyword argument 'body' of Mailing"):
        Mailing(subject="fine", body=bad).delay()


def test_the_name_of_a_keyword_argument_is_checked_too() -> None:
    with pytest.raises(ValueError, match=r"keyword argument 'a\\x00b' of Mailing"):
        Mailing(**{"a\0b": 1}).delay()


def test_arguments_that_are_too_large_are_refused_with_the_setting_to_raise() -> None:
    with pytest.raises(ValueError, match="PARTISAN_MAX_ARGUMENTS_BYTES"):
        Mailing("x" * 300_000).delay()


@pytest.mark.parametrize("moment", [NAIVE, "tomorrow", True, [], object()], ids=_name)
def test_a_time_to_execute_that_means_no_moment_is_refused(moment: Any) -> None:
    with pytest.raises(ValueError, match="execute_after"):
        Mailing().delay(execute_after=moment)


@pytest.mark.parametrize(
    "moment",
    [timedelta.max, timedelta.min, 1e300, -1e300, 10**400, LAST_MOMENT, math.nan, math.inf],
    ids=_name,
)
def test_a_time_to_execute_that_no_database_can_hold_is_refused(moment: Any) -> None:
    with pytest.raises(ValueError, match="execute_after"):
        Mailing().delay(execute_after=moment)


@pytest.mark.parametrize("priority", ["1", 1.0, True, [], Decimal(1)], ids=_name)
def test_a_priority_that_is_no_whole_number_is_refused(priority: Any) -> None:
    with pytest.raises(TypeError, match="priority takes a whole number"):
        Mailing().delay(priority=priority)


@pytest.mark.parametrize("priority", [2**31, -(2**31) - 1])
def test_a_priority_outside_32_bits_is_refused(priority: int) -> None:
    with pytest.raises(ValueError, match="priority must be"):
        Mailing().delay(priority=priority)


def test_priority_and_time_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        Mailing().delay(1)  # type: ignore[call-arg]


def test_a_class_that_is_not_registered_is_refused_with_the_remedy() -> None:
    with pytest.raises(ProcessorClassNotFound, match=r"@registry\.register"):
        Unregistered().delay()


def test_a_queue_that_is_not_configured_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownQueue, match="did you mean 'default'"):
        InUnknownQueue().delay()


def test_a_processor_bound_to_a_claimed_task_cannot_be_enqueued() -> None:
    processor = Mailing()
    processor.bind(claimed_task(processor))
    with pytest.raises(TypeError, match="Mailing is bound to a task"):
        processor.delay()


def test_a_processor_bound_to_a_row_cannot_be_enqueued() -> None:
    task = Task(arguments={"args": [1], "kwargs": {"a": 2}})
    processor = Mailing.get_initialized_processor(task)
    assert (processor.args, processor.kwargs, processor.task_obj) == ((1,), {"a": 2}, task)
    with pytest.raises(TypeError, match="raise PostponeTask"):
        processor.delay()


def test_a_bound_processor_knows_its_task_without_asking_the_database() -> None:
    processor = Mailing("ü", n=1)
    processor.bind(claimed_task(processor, id=5, lease=2, retries=1, postpones=3, queue_name="q"))
    task = processor.run()
    assert (task.pk, task.status, task.lease, task.queue_name) == (5, "in_process", 2, "q")
    assert (task.tries_count, task.postpones_count) == (1, 3)
    assert task.arguments == {"args": ["ü"], "kwargs": {"n": 1}}
    assert processor.task_obj is task


def test_a_processor_outside_a_task_has_none() -> None:
    assert Mailing().task_obj is None


def test_arguments_are_kept_as_they_were_given() -> None:
    processor = Mailing(1, "two", three=3)
    assert (processor.args, processor.kwargs) == ((1, "two"), {"three": 3})
    assert processor.processor_name == "tests.unit.processor.test_processor.Mailing"


def test_a_processor_without_run_cannot_be_made() -> None:
    class Lazy(BaseTaskProcessor):
        """Forgets the only thing it must have."""

    with pytest.raises(TypeError, match="abstract"):
        Lazy()  # type: ignore[abstract]


@pytest.mark.parametrize(
    ("attribute", "value", "error"),
    [
        ("PRIORITY", "high", TypeError),
        ("PRIORITY", None, TypeError),
        ("PRIORITY", 2**31, ValueError),
        ("UNIQUE_UNTIL", "end", ValueError),
        ("ON_DUPLICATE", "skip", ValueError),
        ("RETRY_ON_ERROR_CONFIG", {"retries_count": 3}, TypeError),
        ("POSTPONE_CONFIG", 5, TypeError),
        ("QUEUE_NAME", None, TypeError),
        ("ATOMIC", 1, TypeError),
        ("TIMEOUT_SECONDS", "5", TypeError),
        ("TIMEOUT_SECONDS", True, TypeError),
        ("TIMEOUT_SECONDS", 0, ValueError),
        ("TIMEOUT_SECONDS", float("nan"), ValueError),
        ("GRACE_SECONDS", None, TypeError),
        ("GRACE_SECONDS", -1, ValueError),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_when_the_class_is_made(
    attribute: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match=rf"Wrong\.{attribute}"):
        type("Wrong", (BaseTaskProcessor,), {attribute: value})


def test_rules_are_inherited_and_may_be_overridden() -> None:
    class Urgent(Mailing):
        PRIORITY = -5

    class UrgentToo(Urgent):
        UNIQUE_UNTIL = "finish"

    assert (UrgentToo.PRIORITY, UrgentToo.UNIQUE_UNTIL, UrgentToo.ON_DUPLICATE) == (
        -5,
        "finish",
        "keep",
    )


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_a_naive_moment_is_in_the_projects_zone_where_it_has_no_others(
    settings: Any, zone: str
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, zone
    now, moment = datetime.now(UTC), django_timezone.now()
    assert moment.utcoffset() is None
    assert abs(in_utc(moment, "execute_after") - now) < timedelta(minutes=5)
    until = PostponeTask(until=moment).until
    assert until is not None
    assert abs(until - now) < timedelta(minutes=5)


def test_a_naive_moment_is_refused_where_moments_have_zones() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        in_utc(datetime(2026, 1, 1), "execute_after")
