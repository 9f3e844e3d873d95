"""The state of a checkpoint travels as arguments do, and is refused in a sentence."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from django_partisan.payloads.encoding import encode_arguments
from django_partisan.payloads.state import MAX_STATE_BYTES, decode_state, encode_state


@pytest.mark.parametrize(
    "state",
    [
        None,
        0,
        1.5,
        True,
        "ü",
        "",
        [],
        {},
        [1, [2, {"a": None}]],
        {"page": 3, "seen": ["x", 'y"]}']},
    ],
)
def test_a_state_comes_back_as_it_was_given(state: Any) -> None:
    text = encode_state(state, "Import")
    assert decode_state(text) == json.loads(text) == state


def test_a_tuple_comes_back_as_a_list() -> None:
    assert decode_state(encode_state((1, (2, 3)), "Import")) == [1, [2, 3]]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (datetime(2026, 1, 1), "value.isoformat()"),
        ({1: 2}, "dict key 1 (int) is not text"),
        ("nul \0", "NUL"),
        (float("nan"), "nan is not JSON"),
        (object(), "object objects are not JSON"),
    ],
)
def test_what_is_no_state_is_refused_in_a_sentence(state: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        encode_state(state, "Import")
    assert "of checkpoint() of Import: " in str(refused.value)
    assert words in str(refused.value)


def test_a_state_may_take_64_kib_and_no_more() -> None:
    fits = "x" * (MAX_STATE_BYTES - 2)
    assert decode_state(encode_state(fits, "Import")) == fits
    with pytest.raises(
        ValueError, match=r"takes 65537 bytes as JSON; at most 65536 .* where to go"
    ):
        encode_state(fits + "y", "Import")
    with pytest.raises(ValueError, match="bytes as JSON"):
        encode_state("ü" * (MAX_STATE_BYTES // 2), "Import")


@pytest.mark.parametrize(
    "state",
    [
        {"b": 1, "a": "x", "c": None, "d": True},
        {"cursor": 5, "done": 5, "total": 10},
        {"text": 'quoted " and \\ and \n'},
        {"text": "ü"},
        {"text": "x" * 2000},
        {"number": 2**70, "nothing": ""},
        {"no name": 1, "_own": 2, "": 3},
        {},
    ],
)
def test_the_short_way_gives_the_same_text_as_the_long_one(state: Any) -> None:
    arguments = encode_arguments((state,), {}, processor="Import", max_bytes=10**6)
    assert arguments == f'{{"args":[{encode_state(state, "Import")}],"kwargs":{{}}}}'


@pytest.mark.parametrize("state", [{"a": "nul \0"}, {"a": "\ud800"}, {"a": 10**5000}])
def test_the_short_way_lets_nothing_pass_that_the_long_one_refuses(state: Any) -> None:
    with pytest.raises(ValueError, match=r"checkpoint\(\) of Import: "):
        encode_state(state, "Import")
