"""A `run` that would not do its work when it is called is refused when the class is made."""

from __future__ import annotations

import abc
import asyncio
import functools
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from django_partisan.processor import BaseTaskProcessor


async def coroutine(self: Any) -> None: ...


def generator(self: Any) -> Iterator[int]:
    yield 1


async def asynchronous_generator(self: Any) -> AsyncIterator[int]:
    yield 1


async def without_self() -> None: ...


def with_a_queue(self: Any, queue: str) -> None: ...


def with_keyword(self: Any, *, urgent: bool) -> None: ...


def synchronous(self: Any) -> int:
    return 1


def waiting(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(self: Any) -> Any:
        return asyncio.run(function(self))

    return run


def with_cursor(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(self: Any) -> Any:
        return function(self, "cursor")

    return run


def passing_on(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return run


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (generator, r"has a yield.*def run\(self\)"),
        (asynchronous_generator, r"asynchronous generator.*async def run"),
        (without_self, "cannot be called without arguments"),
        (staticmethod(coroutine), "cannot be called without arguments"),
        (property(synchronous), "is a property"),
        (functools.cached_property(synchronous), "is a property"),
        (None, "must be a method, got None"),
        ("run", "must be a method, got 'run'"),
        (dict, "must be a method, got <class 'dict'>"),
        (lambda: None, "cannot be called without arguments"),
        (with_a_queue, "cannot be called without arguments.*'queue'"),
        (with_keyword, "cannot be called without arguments.*'urgent'"),
        (staticmethod(synchronous), "cannot be called without arguments"),
        (classmethod(with_a_queue), "cannot be called without arguments"),
    ],
)
def test_what_cannot_be_run_is_refused_with_class_and_remedy(run: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"Sending.run .*{message}"):
        types.new_class("Sending", (BaseTaskProcessor,), {}, lambda body: body.update(run=run))


@pytest.mark.parametrize(
    "run",
    [
        coroutine,
        staticmethod(without_self),
        classmethod(coroutine),
        functools.partialmethod(coroutine),
        staticmethod(functools.partial(coroutine, None)),
        sync_to_async(synchronous),
    ],
)
def test_what_has_to_be_awaited_is_accepted_and_known_by_its_class(run: Any) -> None:
    sending: Any = types.new_class(
        "Sending", (BaseTaskProcessor,), {}, lambda body: body.update(run=run)
    )
    assert sending.runs_async
    assert asyncio.run(awaited(sending().run())) in (None, 1)
    assert vars(types.new_class("Derived", (sending,)))["runs_async"]


async def awaited(returned: Any) -> Any:
    return await returned


def test_a_coroutine_cannot_be_atomic() -> None:
    class Sending(BaseTaskProcessor):
        async def run(self) -> None: ...

    with pytest.raises(TypeError, match=r"Atomic.run is a coroutine .*ATOMIC.*; write a plain def"):
        types.new_class("Atomic", (Sending,), {}, lambda body: body.update(ATOMIC=True))


@pytest.mark.parametrize(
    "run",
    [
        synchronous,
        lambda self, again=False: again,
        passing_on(synchronous),
        waiting(coroutine),
        with_cursor(with_a_queue),
        staticmethod(lambda: 1),
        classmethod(synchronous),
        functools.partialmethod(with_a_queue, "queue"),
        staticmethod(functools.partial(synchronous, None)),
        functools.lru_cache(synchronous),
        async_to_sync(coroutine),
    ],
)
def test_what_can_be_run_is_accepted(run: Any) -> None:
    sending: Any = types.new_class(
        "Sending", (BaseTaskProcessor,), {}, lambda body: body.update(run=run)
    )
    assert not sending.runs_async
    sending().run()


def test_what_is_still_abstract_is_left_to_the_subclass() -> None:
    class Base(BaseTaskProcessor):
        @abc.abstractmethod
        def run(self, *, urgent: bool) -> None: ...  # type: ignore[override]

    with pytest.raises(TypeError, match="abstract"):
        Base()  # type: ignore[abstract]


def test_a_mixin_gives_a_run_to_the_class_below_it() -> None:
    class Mixin:
        async def run(self) -> None: ...

    class Sending(Mixin, BaseTaskProcessor):
        pass

    assert Sending.runs_async
