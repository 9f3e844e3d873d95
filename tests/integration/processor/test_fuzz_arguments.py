"""Whatever is given to a processor arrives in run() as it was, or nothing is stored."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from django_partisan import lifecycle
from django_partisan.exceptions import InvalidParams
from django_partisan.execution import initialized_processor
from django_partisan.models import Task
from django_partisan.payloads.encoding import encode_result
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry.registry import registry
from tests.support.factories import ended_attempt, row_of
from tests.support.processors import Plain

texts = st.text() | st.text(st.characters(categories=["Cs", "Cc", "Zs", "So"])) | st.just("\0")
numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([2**63, -(2**63) - 1, 10**400, 1e16, 1.5e300, -1e22, 5e-324, -0.0, 1e-7])
)
leaves = st.none() | st.booleans() | numbers | texts
json_like = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(texts | leaves, inner)
    ),
    max_leaves=12,
)
anything = json_like | st.binary() | st.sets(st.integers()) | st.datetimes() | st.decimals()
keywords = st.dictionaries(st.text(min_size=1, max_size=5), anything, max_size=3)


class Inner(BaseModel):
    at: datetime
    amounts: dict[date, Decimal]


@registry.register
class Typed(BaseTaskProcessor):
    """Takes what JSON does not know, and anything."""

    UNIQUE_FOR_PARAMS = False

    class Params(BaseModel):
        inner: list[Inner]
        key: UUID
        span: timedelta
        clock: time
        number: float
        names: frozenset[str]
        secret: str
        anything: Any = None

    def run(self) -> None: ...


class Secret(BaseTaskProcessor):
    """Takes secrets of several kinds."""

    class Params(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        text: SecretStr
        more: list[SecretStr] = []
        number: int = 0

        @model_validator(mode="after")
        def _refuse(self) -> Any:
            raise ValueError(f"{self!r} {self.text.get_secret_value()}")

    def run(self) -> None: ...


# A year in which no zone has seconds in its offset, which JSON would not keep.
moments = st.datetimes(datetime(1975, 1, 1)) | st.datetimes(
    datetime(1975, 1, 1), timezones=st.timezones()
)
finite = st.decimals(allow_nan=False, allow_infinity=False)
typed = st.fixed_dictionaries(
    {
        "inner": st.lists(
            st.fixed_dictionaries(
                {"at": moments, "amounts": st.dictionaries(st.dates(), finite, max_size=2)}
            ),
            max_size=2,
        ),
        "key": st.uuids(),
        "span": st.timedeltas(),
        "clock": st.times(),
        "number": st.floats(),
        "names": st.frozensets(texts, max_size=3),
        "secret": texts,
        "anything": anything,
    }
)

pytestmark = pytest.mark.django_db
fuzz = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fuzz
@given(args=st.lists(anything, max_size=3), kwargs=keywords)
@example(args=[{"a": [1e16, "1e+16", {"b": -1.5e22}]}], kwargs={"1e+400": 10**400})
def test_arguments_arrive_as_they_were_or_are_refused(
    args: list[Any], kwargs: dict[str, Any]
) -> None:
    with _rolled_back():
        try:
            task = Plain(*args, **kwargs).delay()
        except (TypeError, ValueError) as refusal:
            assert "argument" in str(refusal) and "of Plain" in str(refusal)  # noqa: PT018, PT017
            assert not Task.objects.exists()
            return
        _assert_same([list(task.arguments["args"]), task.arguments["kwargs"]], [args, kwargs])
        [claimed] = lifecycle.claim("default", 1, 1)
        processor: Any = initialized_processor(claimed)
        _assert_same([list(processor.args), processor.kwargs], [args, kwargs])


@fuzz
@given(kwargs=typed)
def test_typed_arguments_arrive_as_they_were_or_are_refused(kwargs: dict[str, Any]) -> None:
    with _rolled_back():
        try:
            Typed(**kwargs).delay()
        except (TypeError, ValueError) as refusal:
            assert "Typed" in str(refusal)  # noqa: PT017
            assert not Task.objects.exists()
            return
        [claimed] = lifecycle.claim("default", 1, 1)
        processor: Any = initialized_processor(claimed)
        given = Typed.Params(**kwargs)
        _assert_same([processor.params.anything], [given.anything])
        assert processor.params.model_copy(update={"anything": 0}) == given.model_copy(
            update={"anything": 0}
        )


@fuzz
@given(
    text=st.text("abcxyz", min_size=5).map(lambda text: f"s3cret-{text}"),
    number=anything,
    is_object=st.booleans(),
)
def test_no_refusal_tells_a_secret(text: str, number: Any, is_object: bool) -> None:
    given: Any = SecretStr(text) if is_object else text
    for processor in (
        Secret(given, [], number),
        Secret("12345678", [given], 4),
        Secret(given, given, number=number),
        Secret(given, txet=text),
        Secret([given], number=number),
        Secret({"text": given}, [[given]]),
    ):
        with pytest.raises(InvalidParams) as caught:
            processor._encoded(100_000)
        assert "s3cret" not in str(caught.value)
        assert "s3cret" not in repr(caught.value.args)


@fuzz
@given(items=st.lists(st.lists(anything, max_size=2), max_size=4))
def test_a_batch_arrives_as_it_was_or_is_refused_as_a_whole(items: list[list[Any]]) -> None:
    with _rolled_back():
        try:
            tasks = Plain.delay_many([tuple(item) for item in items])
        except (TypeError, ValueError) as refusal:
            assert str(refusal).startswith("items[")  # noqa: PT017
            assert not Task.objects.exists()
            return
        assert len(tasks) == len(items)
        claimed = lifecycle.claim("default", 10, 1)
        processors: list[Any] = [initialized_processor(task) for task in claimed]
        _assert_same([list(processor.args) for processor in processors], items)


@fuzz
@given(value=anything)
@example(value=[1e16, {"a": -1.5e300}])
def test_a_result_is_kept_as_it_was_or_as_its_repr(value: Any) -> None:
    with _rolled_back():
        Plain(7).delay()
        [claimed] = lifecycle.claim("default", 1, 1)
        text, is_repr = encode_result(value, 10**6)
        ended = ended_attempt(claimed, result=text)
        assert lifecycle.record([ended], delete_finished=False, max_rescues=3) == {claimed.id}
        result = row_of(claimed).result
        if is_repr:
            assert isinstance(result, dict)
            assert list(result) == ["repr"]
        else:
            _assert_same(result, value)


def _assert_same(found: Any, given_: Any) -> None:
    """Compare with types; a tuple comes back as a list, and zero has one sign in some databases."""
    if isinstance(given_, (list, tuple)):
        assert isinstance(found, list)
        assert len(found) == len(given_)
        for one, other in zip(found, given_, strict=True):
            _assert_same(one, other)
    elif isinstance(given_, dict):
        assert isinstance(found, dict)
        assert found.keys() == given_.keys()
        for key, value in given_.items():
            _assert_same(found[key], value)
    else:
        assert type(found) is type(given_)
        assert found == given_
        if isinstance(found, float) and connection.vendor == "sqlite":
            assert math.copysign(1, found) == math.copysign(1, given_)


class _rolled_back:  # noqa: N801
    def __enter__(self) -> None:
        self.block = transaction.atomic()
        self.block.__enter__()

    def __exit__(self, *error: object) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)
