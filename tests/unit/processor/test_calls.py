"""What a processor was called with is what is stored, whatever its class makes of it."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import pytest

from django_partisan.payloads.encoding import decode_arguments
from django_partisan.processor import BaseTaskProcessor
from tests.support.factories import claimed_task

MANY_BYTES = 10_000


class Runnable(BaseTaskProcessor):
    def run(self) -> Any:
        return [list(self.args), self.kwargs]


class WithoutSuper(Runnable):
    def __init__(self, user: int, urgent: bool = False) -> None:
        self.user = user


class WithLessForSuper(Runnable):
    def __init__(self, user: int, note: str) -> None:
        super().__init__(user)


class WithOtherForSuper(Runnable):
    def __init__(self, user: int) -> None:
        super().__init__({"user": user}, made=True)


class WithOwnArgs(Runnable):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.args = self.args[:1]
        self.kwargs.clear()


class ChangingItsArguments(Runnable):
    def __init__(self, options: dict[str, Any], rows: list[list[int]]) -> None:
        options.setdefault("retries", 3)
        rows[0].clear()
        rows.append([0])


class WithKeywordsOnly(Runnable):
    def __init__(self, *, self_: int = 0, cls: int = 0, **others: Any) -> None:
        others.pop("extra", None)


@dataclass
class Plain(Runnable):
    user: int
    tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tags.append("seen")


@dataclass(frozen=True)
class Frozen(Runnable):
    user: int
    urgent: bool = False


@dataclass(slots=True)
class Slotted(Runnable):
    user: int


@dataclass(kw_only=True, order=True)
class KeywordOnly(Runnable):
    user: int


class WithOwnNew(Runnable):
    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        return super().__new__(cls)


class BelowOwnNew(WithOwnNew):
    def __new__(cls, user: int) -> Self:
        return super().__new__(cls, user, "more")


class Mixin:
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__new__(cls)


class WithMixin(Mixin, Runnable):
    """Has its constructor from a class that is no processor."""


class Single(Runnable):
    only: ClassVar[Any] = None

    def __new__(cls, *args: Any) -> Self:
        cls.only = cls.only or super().__new__(cls)
        return cls.only  # type: ignore[no-any-return]


class MindingItsAttributes(Runnable):
    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} cannot be set")

    def __init__(self, user: int) -> None: ...


class WithPropertyForArgs(Runnable):
    @cached_property
    def args(self) -> tuple[Any, ...]:  # type: ignore[override]
        return ("something else",)

    @property
    def kwargs(self) -> dict[str, Any]:  # type: ignore[override]
        return {"something": "else"}

    def __init__(self, user: int) -> None: ...


@pytest.mark.parametrize(
    ("processor_class", "args", "kwargs"),
    [
        (Runnable, (1, "two"), {"three": [3]}),
        (WithoutSuper, (1,), {}),
        (WithoutSuper, (1,), {"urgent": True}),
        (WithoutSuper, (), {"user": 1}),
        (WithLessForSuper, (1, "more"), {}),
        (WithOtherForSuper, (1,), {}),
        (WithOwnArgs, (1, 2), {"a": 3}),
        (ChangingItsArguments, ({"a": 1}, [[1, 2], [3]]), {}),
        (WithKeywordsOnly, (), {"cls": 1, "extra": 2, "args": 3, "kwargs": 4}),
        (Runnable, (), {"self": 1, "cls": 2, "klass": 3}),
        (Plain, (1, ["a"]), {}),
        (Plain, (), {"user": 1}),
        (Frozen, (1,), {"urgent": True}),
        (Slotted, (1,), {}),
        (KeywordOnly, (), {"user": 1}),
        (WithOwnNew, (1, 2), {"a": 3}),
        (BelowOwnNew, (1,), {}),
        (WithMixin, (1,), {"a": 2}),
        (Single, (1,), {}),
        (MindingItsAttributes, (1,), {}),
        (WithPropertyForArgs, (1,), {}),
    ],
)
def test_the_arguments_of_the_call_are_stored(
    processor_class: type[BaseTaskProcessor], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    expected = copy.deepcopy((list(args), kwargs))
    stored = processor_class(*args, **kwargs)._encoded(MANY_BYTES)
    assert decode_arguments(stored) == expected
    # What the worker makes of them would be stored as the same again.
    args, kwargs = copy.deepcopy(expected)  # type: ignore[assignment]
    assert processor_class(*args, **kwargs)._encoded(MANY_BYTES) == stored


@pytest.mark.parametrize("item", [(1,), [1]])
@pytest.mark.parametrize("processor_class", [Runnable, WithoutSuper, Frozen, WithOwnNew, WithMixin])
def test_the_items_of_a_batch_are_stored_as_given(
    processor_class: type[BaseTaskProcessor], item: Any
) -> None:
    as_item, as_processor = processor_class._encoded_items([item, processor_class(1)])
    assert as_item == as_processor == '{"args":[1],"kwargs":{}}'


@pytest.mark.parametrize("processor_class", [Runnable, WithoutSuper, Frozen, Slotted, WithOwnNew])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_is_stored_as_the_original(
    processor_class: type[BaseTaskProcessor], copied: Any
) -> None:
    original = processor_class(1)
    assert copied(original)._encoded(MANY_BYTES) == original._encoded(MANY_BYTES)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("processor_class", [Runnable, WithoutSuper, WithOwnNew, WithMixin])
def test_a_pickled_processor_is_stored_as_the_original(
    processor_class: type[BaseTaskProcessor], protocol: int
) -> None:
    original = processor_class(1)
    again = pickle.loads(pickle.dumps(original, protocol))
    assert again._encoded(MANY_BYTES) == original._encoded(MANY_BYTES)


def test_a_changed_copy_of_a_dataclass_is_stored_as_changed() -> None:
    assert decode_arguments(replace(Frozen(1), user=2)._encoded(MANY_BYTES))[1]["user"] == 2


def test_args_and_kwargs_are_there_without_a_call_of_super() -> None:
    processor = WithoutSuper(1, urgent=True)
    assert (processor.args, processor.kwargs) == ((1,), {"urgent": True})


def test_changing_kwargs_changes_nothing_that_is_stored() -> None:
    processor = WithoutSuper(1, urgent=True)
    processor.kwargs["more"] = 5
    assert processor.kwargs == {"urgent": True, "more": 5}
    assert decode_arguments(processor._encoded(MANY_BYTES)) == ([1], {"urgent": True})


def test_a_frozen_processor_can_be_bound_to_its_task() -> None:
    processor = Frozen(1)
    task = claimed_task(Runnable(1))
    processor.bind(task)
    assert processor._claimed is task


def test_arguments_that_contain_themselves_are_refused_when_they_are_stored() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        WithoutSuper(loop)._encoded(MANY_BYTES)  # type: ignore[arg-type]
