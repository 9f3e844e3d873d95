"""A batch is refused as a whole, by the place of the item that is at fault, before it is stored.

No test here may touch the database: pytest-django raises when one does, which is the proof that
a refused `.delay_many()` stores nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from django_partisan import registry
from django_partisan.database.values import BatchRow
from django_partisan.exceptions import ProcessorClassNotFound, UnknownQueue
from django_partisan.lifecycle.enqueue_many import CHUNK_BYTES, CHUNK_ROWS, _chunks
from django_partisan.processor import BaseTaskProcessor
from tests.support.factories import claimed_task


@registry.register
class Posting(BaseTaskProcessor):
    def run(self) -> None: ...


@registry.register
class SpecialPosting(Posting):
    """Inherits from another processor."""


class NeverRegistered(Posting):
    """Nobody registered it."""


@registry.register
class InMistypedQueue(Posting):
    QUEUE_NAME = "defualt"


@registry.register
class Particular(Posting):
    """Has a constructor of its own."""

    def __init__(self, address: str) -> None:
        if "@" not in address:
            raise ValueError(f"{address} is no address")
        super().__init__(address)


def _bound() -> Posting:
    processor = Posting()
    processor.bind(claimed_task(processor))
    return processor


@pytest.mark.parametrize(
    "bad",
    ["text", {"a": 1}, {1}, 5, None, b"bytes", Posting, SpecialPosting(), NeverRegistered()],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_an_item_that_is_no_processor_of_the_class_and_no_tuple_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"items\[1\]: delay_many\(\) of Posting takes"):
        Posting.delay_many([("fine",), bad])


def test_text_instead_of_items_is_refused() -> None:
    with pytest.raises(TypeError, match=r"items\[0\]: .*got 't'"):
        Posting.delay_many("text")


def test_a_bound_processor_is_refused() -> None:
    with pytest.raises(TypeError, match=r"items\[2\]: Posting is bound to a task"):
        Posting.delay_many([Posting(1), Posting(2), _bound()])


def test_an_argument_that_is_not_json_is_refused_by_item_and_argument() -> None:
    with pytest.raises(TypeError, match=r"items\[2\]: argument 2 of Posting: object objects"):
        Posting.delay_many([(1,), [2], (3, object())])


def test_an_argument_that_no_database_can_store_is_refused_by_item_and_argument() -> None:
    with pytest.raises(ValueError, match=r"items\[1\]: keyword argument 'x' of Posting: nan"):
        Posting.delay_many([Posting(x=1.5), Posting(x=math.nan)])


def test_arguments_that_are_too_large_are_refused_with_the_setting_to_raise() -> None:
    with pytest.raises(ValueError, match=r"items\[0\]: .*PARTISAN_MAX_ARGUMENTS_BYTES"):
        Posting.delay_many([("x" * 300_000,)])


@pytest.mark.parametrize(("bad", "error"), [(("nobody",), ValueError), ((), TypeError)])
def test_what_the_constructor_of_the_class_refuses_is_refused_by_its_place(
    bad: tuple[str, ...], error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"items\[1\]: .*address"):
        Particular.delay_many([("a@b.c",), bad])


def test_what_a_generator_raises_comes_through() -> None:
    def items() -> Iterator[tuple[int]]:
        yield (1,)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        Posting.delay_many(items())


def test_what_cannot_be_iterated_is_refused() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        Posting.delay_many(5)  # type: ignore[arg-type]


def test_a_class_that_is_not_registered_is_refused_with_the_remedy() -> None:
    with pytest.raises(ProcessorClassNotFound, match=r"@registry\.register"):
        NeverRegistered.delay_many([])


def test_a_queue_that_is_not_configured_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownQueue, match="did you mean 'default'"):
        InMistypedQueue.delay_many([(1,)])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"priority": "1"}, TypeError),
        ({"priority": 2**31}, ValueError),
        ({"execute_after": datetime(2024, 1, 1)}, ValueError),
        ({"execute_after": "tomorrow"}, ValueError),
    ],
)
def test_priority_and_time_are_checked_as_by_delay(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=next(iter(options))):
        Posting.delay_many([(1,)], **options)


def test_priority_and_time_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        Posting.delay_many([], 1)  # type: ignore[call-arg]


def test_no_items_make_no_tasks() -> None:
    assert Posting.delay_many([]) == []


def _rows(*texts: str) -> list[BatchRow]:
    return [BatchRow(number, text, None) for number, text in enumerate(texts)]


def test_a_statement_carries_so_many_rows_at_most() -> None:
    rows = _rows(*["{}"] * (2 * CHUNK_ROWS + 1))
    chunks = list(_chunks(rows))
    assert [len(chunk) for chunk in chunks] == [CHUNK_ROWS, CHUNK_ROWS, 1]
    assert [row for chunk in chunks for row in chunk] == rows


def test_a_statement_carries_so_many_bytes_at_most_unless_one_task_has_more() -> None:
    third = "ä" * (CHUNK_BYTES // 6)
    rows = _rows(third, third, third, third, third * 9, "{}", third)
    assert [len(chunk) for chunk in _chunks(rows)] == [3, 1, 1, 2]
