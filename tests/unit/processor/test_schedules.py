"""The SCHEDULES of a class: refused when the class is made, or told by `manage.py check`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest

from django_partisan import checks
from django_partisan.processor import BaseTaskProcessor, review
from django_partisan.registry import Registry
from django_partisan.schedules import Schedule


class Plain(BaseTaskProcessor):
    def run(self) -> None: ...


class Picky(Plain):
    def __init__(self, amount: int, at: str | None = None) -> None:
        if amount < 0:
            raise ValueError("amount must not be negative")


def made(*schedules: Any, base: type[Plain] = Plain, name: str = "Made", **own: Any) -> Any:
    space = {"__module__": "shop", "__qualname__": name, "SCHEDULES": list(schedules), **own}
    return type(name, (base,), space)


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule("30 8 * * *"),
        Schedule("30 8 * * * */5", timezone="Europe/Paris", name="Ätsch: a name"),
        Schedule("H H(1-4) * * *", args=[1, [2]], kwargs={"a": {"b": None}}),
        Schedule(every=timedelta(minutes=5), catch_up=True, max_catch_up=3),
        Schedule(every=timedelta(days=1), catch_up="none", run_on_creation=True, priority=-4),
        Schedule(manual=True, scheduled_for_kwarg="at", queue_name="default"),
    ],
)
def test_what_can_be_is_taken(schedule: Schedule) -> None:
    assert list(made(schedule).SCHEDULES) == [schedule]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "one of both"),
        ({"cron": "* * * * *", "every": timedelta(1)}, "one of both"),
        ({"cron": "61 * * * *"}, "bad minute"),
        ({"cron": "* " * 60}, "at most 100"),
        ({"cron": "0 0 31 2 *"}, "bad day-of-month"),
        ({"cron": 5}, "line of text"),
        ({"every": 5}, "takes a timedelta"),
        ({"every": timedelta(0)}, "whole seconds"),
        ({"every": timedelta(milliseconds=1500)}, "whole seconds"),
        ({"cron": "* * * * *", "timezone": "Europe/Pariss"}, "did you mean 'Europe/Paris'"),
        ({"cron": "* * * * *", "timezone": 5}, "is not known here"),
        ({"cron": "* * * * *", "manual": True}, "neither cron nor every"),
        ({"manual": "yes"}, "manual must be True or False"),
        ({"manual": True, "catch_up": "some"}, "'none' .* 'latest' or 'all'"),
        ({"manual": True, "catch_up": 1}, "catch_up must be"),
        ({"manual": True, "max_catch_up": 0}, "max_catch_up must be"),
        ({"manual": True, "name": "two\nlines"}, "name must be a line"),
        ({"manual": True, "name": "x" * 256}, "at most 255"),
        ({"manual": True, "name": 5}, "name must be text"),
        ({"manual": True, "args": "text"}, "args must be a tuple"),
        ({"manual": True, "kwargs": [1]}, "kwargs must be a dict"),
        ({"manual": True, "args": (object(),)}, "JSON"),
        ({"manual": True, "args": (float("nan"),)}, "nan|NaN"),
        ({"manual": True, "scheduled_for_kwarg": "a b"}, "name of an argument"),
        ({"manual": True, "scheduled_for_kwarg": "a", "kwargs": {"a": 1}}, "among kwargs"),
        ({"manual": True, "priority": 2**40}, "priority must be"),
        ({"manual": True, "queue_name": 5}, "queue_name must be text"),
    ],
)
def test_what_cannot_be_is_refused_when_the_class_is_made(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=said) as raised:
        made(Schedule(manual=True, name="first"), Schedule(**options))
    assert str(raised.value).startswith("Made.SCHEDULES[1]: ")


@pytest.mark.parametrize("wrong", [[1], ["* * * * *"], Schedule(manual=True), {"a": 1}, None])
def test_schedules_are_a_list_of_schedules(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^Made\.SCHEDULES.* must be a"):
        made(SCHEDULES=wrong)


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"SCHEDULES\[1\] and SCHEDULES\[0\] have one name, 'shop"):
        made(Schedule(manual=True), Schedule("* * * * *"))
    with pytest.raises(ValueError, match="'x': give each a name="):
        made(Schedule(manual=True, name="x"), Schedule("* * * * *", name="x"))


def test_whether_people_may_schedule_is_true_or_false() -> None:
    assert not Plain.SCHEDULABLE
    with pytest.raises(TypeError, match="SCHEDULABLE"):
        made(SCHEDULABLE="yes")


def test_a_zone_may_be_an_object() -> None:
    schedule = Schedule("0 0 * * *", timezone=ZoneInfo("Asia/Tokyo"))
    assert made(schedule)
    assert schedule.columns("shop.Made")["timezone"] == "Asia/Tokyo"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Registry:
    settings.PARTISAN_MODULES = ["no_such_module"]
    own = Registry()
    monkeypatch.setattr(review, "registry", own)
    return own


def found() -> list[tuple[str, str]]:
    messages = checks.check_processors()
    assert all(message.hint for message in messages)
    return [(str(message.id).rpartition(".")[2], message.msg) for message in messages]


def test_arguments_that_the_processor_refuses_are_told_by_check(names: Registry) -> None:
    names.register(
        made(
            Schedule(manual=True, args=(5,), scheduled_for_kwarg="at"),
            Schedule(manual=True, args=(-5,), name="b"),
            Schedule(manual=True, name="c"),
            base=Picky,
        )
    )
    assert found() == [
        (
            "E011",
            (
                "shop.Made.SCHEDULES[1] has arguments that the processor does not take: "
                "amount must not be negative."
            ),
        ),
        (
            "E011",
            (
                "shop.Made.SCHEDULES[2] has arguments that the processor does not take: "
                "Picky.__init__() missing 1 required positional argument: 'amount'."
            ),
        ),
    ]


def test_a_queue_that_is_not_configured_is_told_by_check(names: Registry) -> None:
    names.register(made(Schedule(manual=True, queue_name="nowhere")))
    [(kind, message)] = found()
    assert kind == "E011"
    assert message.startswith("shop.Made.SCHEDULES[0]: Queue 'nowhere' is not in PARTISAN_CONFIG")


def test_two_classes_with_one_name_are_told_by_check(names: Registry) -> None:
    names.register(made(Schedule(manual=True, name="x"), name="First"))
    names.register(made(Schedule(manual=True, name="x"), name="Second"))
    [(kind, message)] = found()
    assert kind == "E011"
    assert "'x', which one of shop.First has already" in message


def test_schedules_that_would_be_inherited_are_told_by_check(names: Registry) -> None:
    class Base(Plain):
        SCHEDULES: ClassVar[Any] = [Schedule(manual=True)]

    names.register(type("Made", (Base,), {"__module__": "shop", "__qualname__": "Made"}))
    [(kind, message)] = found()
    assert kind == "W007"
    assert "do not count for shop.Made" in message
    names.register(Base)
    assert found() == [], "it has them itself"
