"""How values become stored text, and what is refused on the way."""

import collections
import enum
import json
import math
import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.http import QueryDict
from django.utils.functional import lazystr
from django.utils.safestring import mark_safe
from hypothesis import example, given
from hypothesis import strategies as st

from django_partisan.models import Task
from django_partisan.payloads import encoding

LIMIT = 262_144

# Every character that a database can store.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.uuids(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.none(), inner)
        | st.sets(st.integers())
    ),
    max_leaves=20,
)


def encode(*args: Any, max_bytes: int = LIMIT, **kwargs: Any) -> str:
    return encoding.encode_arguments(args, kwargs, processor="Send", max_bytes=max_bytes)


class Model:
    """Something with a primary key, as a Django model has."""

    pk = 5


class Point(NamedTuple):
    x: int
    y: int


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


# --- what passes


@given(
    args=st.lists(values), kwargs=st.dictionaries(st.from_regex(r"[a-z]+", fullmatch=True), values)
)
def test_what_json_knows_comes_back_equal(args: Any, kwargs: Any) -> None:
    text = encoding.encode_arguments(tuple(args), kwargs, processor="Send", max_bytes=10**9)
    assert encoding.decode_arguments(text) == (args, kwargs)


@given(value=values)
def test_types_come_back_as_they_were(value: Any) -> None:
    [back], _ = encoding.decode_arguments(encode(value, max_bytes=10**9))
    assert repr(back) == repr(json.loads(json.dumps(value, sort_keys=True)))


@given(value=anything)
def test_whatever_passes_can_be_stored_and_whatever_does_not_is_named(value: Any) -> None:
    try:
        text = encode("fine", value, max_bytes=10**9)
    except (TypeError, ValueError) as error:
        assert str(error).startswith("argument 2 of Send: ")  # noqa: PT017 - some values pass
    else:
        text.encode()
        assert "\0" not in json.dumps(json.loads(text), ensure_ascii=False)
        assert "\\u0000" not in text.replace("\\\\", "")
        assert as_lists(value) == encoding.decode_arguments(text)[0][1]


@given(args=st.lists(anything, max_size=3), kwargs=st.dictionaries(st.text(), anything, max_size=3))
@example(args=[{1: "key"}], kwargs={})
@example(args=[[{True: 1}]], kwargs={"{": {}})
@example(args=["\0"], kwargs={})
@example(args=["\ud800"], kwargs={})
@example(args=[nested(encoding.MAX_DEPTH + 1)], kwargs={})
def test_what_the_text_alone_proves_sound_the_walk_finds_sound_with_the_same_text(
    args: list[Any], kwargs: dict[str, Any]
) -> None:
    proven = encoding._plain_json({"args": args, "kwargs": kwargs}, own_braces=2)
    if proven is not None:
        assert encoding._checked_json(tuple(args), kwargs, "Send") == proven


@given(value=st.recursive(st.integers() | st.text("ab ü"), st.lists, max_leaves=8))
def test_what_holds_no_dict_is_proven_sound_by_its_text(value: Any) -> None:
    assert encoding._plain_json({"args": [value], "kwargs": {"a": 1}}, own_braces=2) is not None


def as_lists(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [as_lists(item) for item in value]
    if isinstance(value, dict):
        return {key: as_lists(item) for key, item in value.items()}
    return value


def test_the_text_is_compact_json() -> None:
    assert encode(1, "ü", a=None) == '{"args":[1,"ü"],"kwargs":{"a":null}}'


def test_a_tuple_comes_back_as_a_list() -> None:
    assert encoding.decode_arguments(encode((1, (2,)))) == ([[1, [2]]], {})


@pytest.mark.parametrize(
    ("given", "back"),
    [
        (mark_safe("<b>"), "<b>"),
        (Colour.RED, "red"),
        (Size.BIG, 3),
        (collections.OrderedDict(a=1), {"a": 1}),
        (Point(1, 2), [1, 2]),
    ],
)
def test_subclasses_of_json_types_are_stored_as_plain_values(given: Any, back: Any) -> None:
    [value], _ = encoding.decode_arguments(encode(given))
    assert (value, type(value)) == (back, type(back))


@pytest.mark.parametrize("number", [2**64, -(10**4000), 0.1, 1e308, -0.0], ids=range(5))
def test_numbers_of_any_size_pass_unchanged(number: Any) -> None:
    [back], _ = encoding.decode_arguments(encode(number))
    assert repr(back) == repr(number)


@pytest.mark.parametrize("number", [1e16, -1.5e22, 1.7976931348623157e308])
def test_a_large_float_is_written_so_that_no_database_takes_it_for_a_whole_number(
    number: float,
) -> None:
    text = encode([number, "1e+16", '\\"1e+16'], {"1e+16": number})
    assert text.count("e+") == 3
    assert text.count(".0") == 2
    assert encoding.decode_arguments(text)[0][0][0] == number
    result, _ = encoding.encode_result(number, LIMIT)
    assert json.loads(str(result)) == number
    assert str(result).endswith(".0")


def test_text_that_only_looks_suspicious_passes() -> None:
    looks = ["\\u0000", "{[" * 200, "\\\\u0000", "\x01\x1f\x7f", "\ufffd", "\U0001f600"]
    assert encoding.decode_arguments(encode(*looks)) == (looks, {})


def test_a_value_that_is_used_twice_does_not_contain_itself() -> None:
    shared = {"a": [1]}
    assert encoding.decode_arguments(encode([shared, shared]))[0] == [[{"a": [1]}, {"a": [1]}]]


def test_a_hundred_levels_pass_and_one_more_does_not() -> None:
    assert encode(nested(100))
    with pytest.raises(ValueError, match=r"argument 1 of Send: .* deeper than 100 levels"):
        encode(nested(101))


# --- what is refused


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (Model(), "Model objects are not JSON; pass its primary key"),
        (lazystr("hello"), r"a lazy translation is not JSON; pass str\(\) of it"),
        (QueryDict("a=1&a=2"), r"QueryDict objects are not JSON; pass dict\(value.lists\(\)\)"),
        (QueryDict(""), "QueryDict objects are not JSON"),
        ({1, 2}, r"set objects are not JSON; pass sorted\(value\)"),
        (datetime(2026, 1, 2), r"datetime objects .*value\.isoformat\(\)"),
        (datetime(2026, 1, 2).date(), r"date objects .*value\.isoformat\(\)"),
        (timedelta(1), r"timedelta objects .*value\.total_seconds\(\)"),
        (Decimal("1.5"), r"Decimal objects .*str\(value\), and use Decimal\(\)"),
        (Path("x"), r"PosixPath objects .*str\(value\), and use Path\(\)"),
        (enum.Enum("Colour", "RED").RED, r"Colour objects .*value\.value"),  # type: ignore[attr-defined]
        (Task.objects.none(), r"LabelledQuerySet objects .*values_list\('pk', flat=True\)"),
        (Task(), "Task objects are not JSON; pass its primary key"),
        (b"x", "bytes objects are not JSON"),
        (uuid.uuid4(), "UUID objects are not JSON; pass str.value., and use UUID"),
        (object, "type objects are not JSON"),
        ({1: 2}, r"dict key 1 \(int\) is not text"),
        ({True: 2}, r"dict key True \(bool\) is not text"),
        ({None: 2}, r"dict key None \(NoneType\) is not text"),
        ({"a": 1, 2: 1}, r"dict key 2 \(int\) is not text"),
        ({"a": [{(1, 2): 1}]}, r"dict key \(1, 2\) \(tuple\) is not text"),
    ],
)
def test_what_json_does_not_know_is_a_type_error_naming_the_argument(value: Any, says: str) -> None:
    with pytest.raises(TypeError, match=f"^argument 2 of Send: {says}"):
        encode("fine", value)
    with pytest.raises(TypeError, match=f"^keyword argument 'user' of Send: {says}"):
        encode("fine", user=value)
    with pytest.raises(TypeError, match=f"^argument 1 of Send: {says}"):
        encode([{"deep": (value,)}])


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("a\0b", "NUL character"),
        ("a\ud800b", "lone surrogate"),
        ({"a\0b": 1}, "NUL character"),
        ({"a\udfff": 1}, "lone surrogate"),
        (math.nan, "nan is not JSON; pass None or a finite number"),
        (math.inf, "inf is not JSON"),
        (-math.inf, "-inf is not JSON"),
        pytest.param(10**5000, "too many digits", id="digits"),
        pytest.param(nested(100_000), "deeper than 100 levels", id="deep"),
    ],
)
def test_what_a_database_cannot_keep_is_a_value_error_naming_the_argument(
    value: Any, says: str
) -> None:
    with pytest.raises(ValueError, match=f"^argument 2 of Send: .*{says}"):
        encode("fine", value)
    with pytest.raises(ValueError, match=f"^keyword argument 'user' of Send: .*{says}"):
        encode(user=value)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = [loop]
    with pytest.raises(ValueError, match=r"^argument 1 of Send: the value contains itself"):
        encode(loop)


def test_a_keyword_that_is_not_text_or_holds_nul_is_refused() -> None:
    not_text: Any = {1: 2}
    with pytest.raises(TypeError, match="keyword argument 1 of Send"):
        encoding.encode_arguments((), not_text, processor="Send", max_bytes=LIMIT)
    with pytest.raises(ValueError, match="NUL"):
        encode(**{"a\0": 1})


def test_arguments_that_are_too_large_are_refused_with_size_limit_and_setting() -> None:
    with pytest.raises(ValueError, match=r"1025 bytes.*at most 1000.*PARTISAN_MAX_ARGUMENTS_BYTES"):
        encode("x" * 1000, max_bytes=1000)


def test_the_size_is_counted_in_bytes_not_in_characters() -> None:
    text = encode("ü" * 400, max_bytes=1000)
    assert encode("ü" * 400, max_bytes=len(text.encode())) == text
    with pytest.raises(ValueError, match="bytes"):
        encode("ü" * 400, max_bytes=len(text.encode()) - 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        '{"args": {}, "kwargs": {}}',
        '{"args": [], "kwargs": []}',
        "[" * 10**6,
    ],
    ids=range(7),
)
def test_stored_text_that_holds_no_arguments_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own messages among them
        encoding.decode_arguments(text)


def test_rows_of_1_6_1_without_arguments_are_read_as_empty() -> None:
    assert encoding.decode_arguments("{}") == ([], {})


# --- identity


def identity(*args: Any, processor: str = "Send", **kwargs: Any) -> str:
    return encoding.canonical_hash(processor, encode(*args, **kwargs))


def test_the_order_of_keys_does_not_matter() -> None:
    assert encode(a=1, b={"c": 1, "d": 2}) == encode(b={"d": 2, "c": 1}, a=1)
    assert identity(a=1, b=2) == identity(b=2, a=1)


def test_a_tuple_equals_a_list() -> None:
    assert identity((1, 2)) == identity([1, 2])


def test_different_tasks_have_different_identities() -> None:
    tasks = [
        identity(),
        identity(1),
        identity(1.0),
        identity(True),
        identity("1"),
        identity(None),
        identity([1]),
        identity(a=1),
        identity(1, processor="Other"),
        identity(1, 2),
        identity(2, 1),
    ]
    assert len(set(tasks)) == len(tasks)


def test_the_identity_is_the_same_in_every_process_and_version() -> None:
    assert identity(1, a="x") == "a6adc8c1ad3906397a2023a8345e6c14"


# --- results


@given(value=values)
def test_a_json_result_is_kept_as_it_is(value: Any) -> None:
    text, replaced = encoding.encode_result(value, 10**9)
    assert not replaced
    assert (None if text is None else json.loads(text)) == value


@given(value=anything, max_bytes=st.integers(0, 2000))
def test_any_result_becomes_text_that_fits_and_can_be_stored(value: Any, max_bytes: int) -> None:
    text, replaced = encoding.encode_result(value, max_bytes)
    assert (text is None) == (value is None)
    if text is not None:
        assert len(text.encode()) <= max(max_bytes, len('{"repr":""}'))
        assert "\\u0000" not in text.replace("\\\\", "")
        if replaced:
            assert list(json.loads(text)) == ["repr"]


@pytest.mark.parametrize(
    "value", [{1: 2}, {1}, Model(), "a\0", "\ud800", math.nan, nested(101)], ids=range(7)
)
def test_a_result_that_is_not_json_is_replaced_by_its_repr_and_marked(value: Any) -> None:
    text, replaced = encoding.encode_result(value, LIMIT)
    assert replaced
    assert json.loads(str(text)) == {"repr": encoding.clean_text(repr(value), 8192)}


def test_a_result_that_is_too_large_is_replaced_by_a_part_of_its_repr() -> None:
    text, replaced = encoding.encode_result(["x" * LIMIT], LIMIT)
    assert replaced
    assert text is not None
    assert len(text) < 10_000
    assert "bytes left out" in text


def test_a_result_that_fights_back_is_survived() -> None:
    class Nasty(dict[str, int]):
        def __repr__(self) -> str:
            raise RuntimeError

        def items(self) -> Any:
            raise RuntimeError

    text, replaced = encoding.encode_result(Nasty(a=1), LIMIT)
    assert replaced
    assert json.loads(str(text)) == {"repr": "<Nasty whose repr raised RuntimeError>"}


def test_a_result_that_contains_itself_is_survived() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert encoding.encode_result(loop, LIMIT) == ('{"repr":"[[...]]"}', True)


# --- texts


@given(text=st.text(), max_bytes=st.integers(-5, 300))
def test_a_clean_text_fits_and_can_be_stored(text: str, max_bytes: int) -> None:
    cleaned = encoding.clean_text(text, max_bytes)
    assert len(cleaned.encode()) <= max(0, max_bytes)
    assert "\0" not in cleaned


@given(text=texts)
def test_a_text_that_is_clean_and_fits_stays_as_it_is(text: str) -> None:
    assert encoding.clean_text(text, 10**6) == text


@given(text=st.text(min_size=200))
def test_what_was_left_out_is_counted(text: str) -> None:
    cleaned = encoding.clean_text(text, 100)
    head, rest = cleaned.split("\n… ", 1)
    count, tail = rest.split(" bytes left out …\n", 1)
    whole = encoding.clean_text(text, 10**9)
    assert len(head.encode()) + int(count) + len(tail.encode()) == len(whole.encode())
    assert whole.startswith(head)
    assert whole.endswith(tail)


def test_nul_and_lone_surrogates_stay_recognisable() -> None:
    assert encoding.clean_text("a\0b\ud800c", 100) == "a\ufffdb\\ud800c"


def test_head_and_tail_of_a_long_text_stay() -> None:
    cleaned = encoding.clean_text("first " + "x" * 5_000_000 + " last", 1000)
    assert cleaned.startswith("first ")
    assert cleaned.endswith(" last")
    assert len(cleaned) <= 1000
