"""A `retry_delay` that could give no pause is refused when the class is made."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from django_partisan.processor import BaseTaskProcessor


def made(retry_delay: Any) -> type[BaseTaskProcessor]:
    return type("Fetch", (BaseTaskProcessor,), {"run": lambda _: None, "retry_delay": retry_delay})


async def coroutine(self: Any, error: Exception, attempt: int) -> int:
    return 1


async def asynchronous_generator(self: Any, error: Exception, attempt: int) -> AsyncIterator[int]:
    yield 1


def generator(self: Any, error: Exception, attempt: int) -> Iterator[int]:
    yield 1


def of_the_error(self: Any, error: Exception) -> int:
    return 1


def of_nothing(self: Any) -> int:
    return 1


def of_too_much(self: Any, error: Exception, attempt: int, queue: str) -> int:
    return 1


def of_keywords(self: Any, *, error: Exception, attempt: int) -> int:
    return 1


@pytest.mark.parametrize(
    ("retry_delay", "message"),
    [
        (5, "must be a method, got 5"),
        (None, "must be a method, got None"),
        (property(of_nothing), "must be a method"),
        (coroutine, "asynchronous, and nothing would await it"),
        (asynchronous_generator, "asynchronous"),
        (generator, "has a yield"),
        (of_the_error, "cannot be called with an error and a number"),
        (of_nothing, "cannot be called"),
        (of_too_much, "missing a required argument: 'queue'"),
        (of_keywords, "cannot be called"),
        (staticmethod(of_too_much), "cannot be called"),
    ],
)
def test_one_that_gives_no_pause_is_refused(retry_delay: Any, message: str) -> None:
    with pytest.raises(TypeError, match=rf"^Fetch\.retry_delay .*{message}.*; write def retry_d"):
        made(retry_delay)


def constant(error: Exception, attempt: int = 1) -> float:
    return 2.5


def exact(self: Any, error: Exception, number: int) -> timedelta:
    return timedelta(seconds=number)


@pytest.mark.parametrize(
    ("retry_delay", "pause"),
    [
        (exact, timedelta(seconds=3)),
        (lambda *_: None, None),
        (staticmethod(constant), 2.5),
        (classmethod(exact), timedelta(seconds=3)),
        (functools.partialmethod(exact), timedelta(seconds=3)),
    ],
)
def test_one_that_can_be_asked_is_accepted(retry_delay: Any, pause: Any) -> None:
    processor: Any = made(retry_delay)
    assert processor().retry_delay(ValueError(), 3) == pause


def test_a_processor_leaves_the_pause_to_its_configuration_by_default() -> None:
    assert made(BaseTaskProcessor.retry_delay)().retry_delay(ValueError(), 1) is None
