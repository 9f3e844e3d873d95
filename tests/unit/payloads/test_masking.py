"""What a processor calls secret is shown nowhere, wherever it stands."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_partisan.execution import report
from django_partisan.payloads.masking import MASK, masked, open_names, scrubbed, secrets_in
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry.registry import registry
from tests.support.claimed_tasks import claimed_task

SECRET = "hunter2 & co"


class Quiet(BaseTaskProcessor):
    """Knows no names of its positional arguments."""

    SENSITIVE_PARAMS: ClassVar[Sequence[str]] = ("password", "card.number", "users.token", "2")

    def run(self) -> None:
        """Do nothing."""


class Named(Quiet):
    SENSITIVE_PARAMS: ClassVar[Sequence[str]] = ("password", "keys", "pin")

    def __init__(self, user: str, password: str = "", *keys: str, pin: int = 0) -> None:
        super().__init__(user, password, *keys, pin=pin)


class NamedInRun(Quiet):
    SENSITIVE_PARAMS: ClassVar[Sequence[str]] = ("password",)

    def run(self, user: str = "", password: str = "") -> None:
        """Do nothing."""


class Plain(BaseTaskProcessor):
    def run(self) -> None:
        """Do nothing."""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_by_stored_name", "_by_alias", "_by_bare_name"):
        monkeypatch.setattr(registry, name, copy.copy(getattr(registry, name)))
    for processor in (Quiet, Named, NamedInRun, Plain):
        registry.register(processor)


def shown(processor: type, *args: Any, **kwargs: Any) -> Any:
    found = masked(registry.stored_name(processor), {"args": list(args), "kwargs": kwargs})
    return found["args"], found["kwargs"]


@pytest.mark.parametrize(
    ("processor", "args", "kwargs", "expected"),
    [
        (Quiet, [], {"password": SECRET, "user": "bob"}, ([], {"password": MASK, "user": "bob"})),
        (Quiet, [], {"password": {"a": [1, 2]}}, ([], {"password": MASK})),
        (Quiet, [], {"password": ""}, ([], {"password": MASK})),
        (
            Quiet,
            [],
            {"password": 1, "card": {"number": "4111", "year": 30}},
            ([], {"password": MASK, "card": {"number": MASK, "year": 30}}),
        ),
        (Quiet, [], {"password": 1, "card": "4111"}, ([], {"password": MASK, "card": MASK})),
        (Quiet, [], {"password": 1, "card": None}, ([], {"password": MASK, "card": None})),
        (
            Quiet,
            [],
            {"password": 1, "users": [{"token": "x", "id": 1}, {"id": 2}]},
            ([], {"password": MASK, "users": [{"token": MASK, "id": 1}, {"id": 2}]}),
        ),
        (Quiet, ["bob", SECRET], {}, ([MASK, MASK], {})),
        (Named, ["bob", SECRET], {}, (["bob", MASK], {})),
        (Named, ["bob", SECRET, "k"], {"pin": 7}, (["bob", MASK, MASK], {"pin": MASK})),
        (Named, ["bob"], {"password": SECRET}, (["bob"], {"password": MASK})),
        (NamedInRun, ["bob", SECRET], {}, (["bob", MASK], {})),
        (Plain, [SECRET], {"password": SECRET}, ([SECRET], {"password": SECRET})),
    ],
)
def test_what_is_called_secret_is_masked_and_nothing_else(
    processor: type, args: list[Any], kwargs: dict[str, Any], expected: Any
) -> None:
    assert shown(processor, *args, **kwargs) == expected


def test_a_position_can_be_secret_too() -> None:
    args, _ = shown(Quiet, "a", "b", "c", password="x", card={}, users=[])
    assert args == ["a", "b", MASK]


def test_the_stored_arguments_are_left_as_they_are() -> None:
    stored = {"args": [], "kwargs": {"password": SECRET, "card": {"number": "4111"}}}
    before = copy.deepcopy(stored)
    masked(registry.stored_name(Quiet), stored)
    assert stored == before


@pytest.mark.parametrize("arguments", [7, "text", [1], None, {"args": 7, "kwargs": "x"}, {}])
def test_arguments_of_any_shape_are_survived(arguments: Any) -> None:
    found = masked(registry.stored_name(Quiet), arguments)
    assert found in (MASK, {}, {"args": [], "kwargs": {}})


def test_arguments_that_are_nested_too_deep_are_masked_altogether() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    name = registry.stored_name(Quiet)
    assert masked(name, {"args": [], "kwargs": {"card": deep}}) == MASK
    assert secrets_in(name, {"args": [], "kwargs": {"card": deep}}) is None
    assert scrubbed("anything", None) == MASK


def test_nobody_sees_the_arguments_of_a_processor_that_is_gone_where_others_have_secrets() -> None:
    assert masked("shop.partisan_tasks.Gone", {"args": [SECRET], "kwargs": {}}) == MASK


def test_where_nobody_has_secrets_the_arguments_of_a_gone_processor_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("_by_stored_name", "_by_alias", "_by_bare_name"):
        monkeypatch.setattr(registry, name, type(getattr(registry, name))())
    assert open_names() is None
    assert masked("shop.partisan_tasks.Gone", {"args": [1]}) == {"args": [1]}


@pytest.mark.parametrize(
    "text",
    [
        "no user with 'it\\'s \"so\"\\nétrange & co'",
        "{}",
        'Key (password)=("it\'s \\"so\\"\\n\\u00e9trange & co") exists',
        "GET /?password=it%27s%20%22so%22%0A%C3%A9trange%20%26%20co",
        '  | it\'s "so"\n  | étrange & co',
    ],
)
def test_a_secret_is_found_in_texts_however_it_is_written(text: str) -> None:
    secret = 'it\'s "so"\nétrange & co'
    found = scrubbed(text.replace("{}", secret), [secret])
    assert MASK in found
    assert "trange" not in found


def test_short_secrets_are_looked_for_as_words_only() -> None:
    assert scrubbed("PIN 123 in line 1234", ["123"]) == f"PIN {MASK} in line 1234"


def test_a_text_with_too_many_secrets_to_look_for_is_masked_altogether() -> None:
    assert scrubbed("text", [str(number) for number in range(1000)]) == MASK


@given(secret=st.text(min_size=4).filter(str.strip), before=st.text(), after=st.text())
def test_no_secret_is_left_in_a_text(secret: str, before: str, after: str) -> None:
    found = scrubbed(before + secret + after, [secret])
    assert secret not in found.replace(MASK, "\0") or set(secret) <= set(MASK)


def test_an_error_tells_no_secret() -> None:
    kwargs = {"password": SECRET, "card": {"number": 4111}, "user": "bob"}
    arguments = {"args": [], "kwargs": kwargs}
    task = claimed_task(
        processor_class=registry.stored_name(Quiet), arguments=json.dumps(arguments)
    )
    error = ValueError(f"{SECRET} of bob, card 4111")
    error.__cause__ = KeyError(SECRET)
    error.add_note(f"tried {SECRET!r}")
    told = report(error, task)
    assert told.message == f"{MASK} of bob, card {MASK}"
    assert "hunter2" not in told.traceback
    assert "4111" not in told.traceback


@pytest.mark.parametrize("wrong", ["password", ("a..b",), (1,), ("",), {"password"}])
def test_a_wrong_list_of_secrets_is_refused_when_the_class_is_made(wrong: Any) -> None:
    with pytest.raises(TypeError, match="SENSITIVE_PARAMS must be a tuple of names"):
        type("Wrong", (Plain,), {"SENSITIVE_PARAMS": wrong})


def test_neither_a_processor_nor_a_refused_item_shows_its_arguments() -> None:
    assert SECRET not in repr(Quiet(password=SECRET))
    with pytest.raises(TypeError, match=r"got dict$") as refusal:
        Quiet.delay_many([{"password": SECRET}])  # type: ignore[list-item]
    assert SECRET not in str(refusal.value)
