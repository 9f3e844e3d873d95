"""Rules for duplicates that contradict each other are refused when the class is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from django_partisan import registry
from django_partisan.payloads.unique_part import unique_part
from django_partisan.processor import BaseTaskProcessor
from django_partisan.processor.review import review
from tests.support.processors import ByAccount, Debounced

CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"UNIQUE_FOR_PARAMS": False, "UNIQUE_KEY": ("0",)}, r"UNIQUE_KEY .*False.*remove one"),
    ({"UNIQUE_FOR_PARAMS": False, "UNIQUE_FOR_SECONDS": 5}, r"UNIQUE_FOR_SECONDS .*remove one"),
    ({"UNIQUE_FOR_PARAMS": False, "DEBOUNCE_SECONDS": 5}, r"DEBOUNCE_SECONDS .*remove one"),
    ({"DEBOUNCE_SECONDS": 5, "UNIQUE_FOR_SECONDS": 5}, r"the last .* the first; remove one"),
    ({"DEBOUNCE_MAX_SECONDS": 5}, r"does nothing without DEBOUNCE_SECONDS"),
    ({"DEBOUNCE_SECONDS": 5, "DEBOUNCE_MAX_SECONDS": 4}, r"is less than DEBOUNCE_SECONDS.*raise"),
    ({"DEBOUNCE_SECONDS": 5, "UNIQUE_UNTIL": "finish"}, r"needs UNIQUE_UNTIL = 'start'"),
    ({"DEBOUNCE_SECONDS": 5, "ON_DUPLICATE": "earlier"}, r"'earlier' forbids that"),
    ({"UNIQUE_FOR_SECONDS": 0}, r"UNIQUE_FOR_SECONDS must be 0.001 seconds to ten years"),
    ({"DEBOUNCE_SECONDS": -1}, r"DEBOUNCE_SECONDS must be 0.001 seconds to ten years"),
    ({"DEBOUNCE_SECONDS": 5, "DEBOUNCE_MAX_SECONDS": 1e12}, r"DEBOUNCE_MAX_SECONDS must be"),
]
MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"UNIQUE_KEY": "account"}, r"UNIQUE_KEY must be a tuple of names"),
    ({"UNIQUE_KEY": ("a..b",)}, r"UNIQUE_KEY must be a tuple of names"),
    ({"UNIQUE_KEY": (0,)}, r"UNIQUE_KEY must be a tuple of names"),
    ({"UNIQUE_FOR_SECONDS": "60"}, r"UNIQUE_FOR_SECONDS takes seconds"),
    ({"DEBOUNCE_SECONDS": True}, r"DEBOUNCE_SECONDS takes seconds"),
]


def made(**attributes: Any) -> type[BaseTaskProcessor]:
    return type("Mailing", (BaseTaskProcessor,), {"run": lambda self: None, **attributes})


@pytest.mark.parametrize(("attributes", "message"), CONTRADICTIONS)
def test_a_contradiction_names_the_class_and_the_remedy(
    attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"Mailing\.[A-Z_]+ .*{message}|Mailing\.{message}"):
        made(**attributes)


@pytest.mark.parametrize(("attributes", "message"), MISTAKES)
def test_a_mistake_names_the_class_and_the_attribute(
    attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=rf"Mailing\.{message}"):
        made(**attributes)


def _takes_account(self: Any, account: int, *, region: str = "eu") -> None: ...


@pytest.mark.parametrize("names", [("acount",), ("account", "1"), ("kwargs",)])
def test_a_key_that_names_no_argument_of_the_constructor_is_refused(names: Any) -> None:
    with pytest.raises(TypeError, match=r"Mailing\.UNIQUE_KEY names .* it takes 'account', 'reg"):
        made(__init__=_takes_account, UNIQUE_KEY=names)


def test_a_dataclass_is_asked_for_its_own_fields() -> None:
    @dataclass
    class First(BaseTaskProcessor):
        account: int

        def run(self) -> None: ...

    @registry.register
    @dataclass
    class Second(First):
        UNIQUE_KEY = ("region",)
        region: str = "eu"

    assert unique_part(Second, [5], {"region": "us"}) == {"region": "us"}
    assert not [found for found in review() if "Second" in found.message and "cannot" in found.kind]


def test_a_key_that_no_argument_of_the_task_has_is_refused_at_delay() -> None:
    with pytest.raises(ValueError, match=r"ByAccount\.UNIQUE_KEY names 'account', '0', and this"):
        ByAccount(acount=5).delay()
    with pytest.raises(ValueError, match=r"items\[1\]: ByAccount\.UNIQUE_KEY names"):
        ByAccount.delay_many([(1,), ()])


@pytest.mark.parametrize("options", [{"execute_after": 5}, {"repeat": 60}])
def test_what_is_debounced_has_no_time_of_its_own(options: Any) -> None:
    with pytest.raises(ValueError, match=r"Debounced\.DEBOUNCE_SECONDS decides .*derive a class"):
        Debounced("a").delay(**options)


def _with_rest(self: Any, account: dict[str, Any], *rest: Any, **more: Any) -> None: ...


PARTS: list[tuple[Any, tuple[str, ...], tuple[Any, ...], dict[str, Any], dict[str, Any]]] = [
    (None, ("account", "0"), (5, 6), {}, {"0": 5}),
    (None, ("account", "0"), (), {"account": 5, "b": 6}, {"account": 5}),
    (None, (), (5,), {}, {}),
    (None, ("0.id",), ({"id": 5, "name": "x"},), {}, {"0.id": 5}),
    (None, ("order.lines.sku",), (), {"order": {"lines": [{"sku": 1}, {"sku": 2}, {}]}},
     {"order.lines.sku": [1, 2]}),
    (_takes_account, ("account",), (5,), {}, {"account": 5}),
    (_takes_account, ("account",), (), {"account": 5}, {"account": 5}),
    (_takes_account, ("0", "region"), (), {"account": 5}, {"0": 5, "region": "eu"}),
    (_with_rest, ("account.id", "rest", "colour"), ({"id": 5}, 6, 7), {"colour": "red"},
     {"account.id": 5, "rest": (6, 7), "colour": "red"}),
    (_with_rest, ("2",), ({}, 6, 7), {}, {"2": 7}),
]  # fmt: skip


@pytest.mark.parametrize(("init", "names", "args", "kwargs", "expected"), PARTS)
def test_a_key_finds_names_paths_and_positions(
    init: Any, names: Any, args: Any, kwargs: Any, expected: Any
) -> None:
    cls = made(UNIQUE_KEY=names, **({"__init__": init} if init else {}))
    assert unique_part(cls, args, kwargs) == expected


def test_check_warns_of_a_duplicate_beside_a_task_that_still_runs() -> None:
    @registry.register
    class Gap(BaseTaskProcessor):
        UNIQUE_FOR_SECONDS = 60
        TIMEOUT_SECONDS = 300

        def run(self) -> None: ...

    found = [each for each in review() if each.kind == "gap"]
    assert [each.message.partition(" ")[0].endswith("Gap") for each in found] == [True]
    assert "UNIQUE_UNTIL = 'finish'" in found[0].remedy
    Gap.UNIQUE_UNTIL = "finish"
    assert not [each for each in review() if each.kind == "gap"]
