"""A coroutine is interrupted where it waits and where it runs, and sees what happens to it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from django_partisan import execution, registry
from django_partisan.attempt import CANCELLED, FAILED, FINISHED, Outcome
from django_partisan.exceptions import TaskCancelled, TaskTimedOut
from django_partisan.processor import BaseTaskProcessor
from django_partisan.wire.messages import cancel_message
from django_partisan.worker.interruption import Interruption
from tests.support.factories import claimed_task
from tests.unit.worker.test_interruption import Host, interruption, requests, told

__all__ = ["interruption", "requests", "told"]

ACTION: list[Callable[[], Coroutine[Any, Any, Any]]] = []
SEEN: list[Any] = []


@registry.register
class UnlimitedCoroutine(BaseTaskProcessor):
    async def run(self) -> Any:
        return await ACTION[0]()


@registry.register
class BriefCoroutine(UnlimitedCoroutine):
    TIMEOUT_SECONDS = 0.3
    GRACE_SECONDS = 7


TASK = claimed_task(UnlimitedCoroutine())


@pytest.fixture(autouse=True)
def nothing_seen() -> Iterator[None]:
    yield
    SEEN.clear()


@pytest.fixture
def run(interruption: Interruption) -> Callable[..., Outcome]:
    def run(
        action: Callable[[], Coroutine[Any, Any, Any]],
        processor: type[BaseTaskProcessor] = BriefCoroutine,
    ) -> Outcome:
        ACTION[:] = [action]
        return execution.execute(claimed_task(processor()), Host(interruption))

    return run


async def sleep_for_long() -> None:
    await asyncio.sleep(60)


async def block_for_long() -> None:
    await asyncio.sleep(0)
    time.sleep(60)  # noqa: ASYNC251 - it blocks


async def loop_for_ever() -> None:
    while True:  # noqa: ASYNC110 - it waits for nothing
        await asyncio.sleep(0)


async def gather_children() -> None:
    await asyncio.gather(sleep_for_long(), sleep_for_long())


async def group_children() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(child())
        group.create_task(child())


async def wait_beside_children() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(child())
        group.create_task(child())
        await asyncio.sleep(60)


async def child() -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        SEEN.append("child")
        raise


async def wait_with_a_timeout() -> None:
    async with asyncio.timeout(60):
        await asyncio.sleep(60)


WAYS = [
    sleep_for_long,
    block_for_long,
    loop_for_ever,
    gather_children,
    group_children,
    wait_beside_children,
    wait_with_a_timeout,
]


@pytest.mark.parametrize("action", WAYS)
def test_a_coroutine_that_takes_too_long_ends_with_its_limit(
    run: Callable[..., Outcome], action: Any
) -> None:
    outcome = run(action)
    assert (outcome.kind, outcome.error and outcome.error.type) == (
        FAILED,
        "django_partisan.exceptions.TaskTimedOut",
    )
    assert outcome.error is not None
    assert f"in {action.__name__}" in outcome.error.traceback
    assert len(SEEN) == (2 if action in (group_children, wait_beside_children) else 0)


@pytest.mark.parametrize("action", WAYS)
def test_a_cancelled_coroutine_ends_as_cancelled(
    run: Callable[..., Outcome], requests: tuple[int, int], action: Any
) -> None:
    async def be_cancelled() -> None:
        os.write(requests[1], cancel_message(*TASK[:2]))
        await action()

    outcome = run(be_cancelled, UnlimitedCoroutine)
    assert (outcome.kind, outcome.error and outcome.error.type) == (
        CANCELLED,
        "django_partisan.exceptions.TaskCancelled",
    )


@pytest.mark.parametrize("wait", [sleep_for_long, block_for_long])
def test_a_limit_is_caught_as_in_any_other_processor(
    run: Callable[..., Outcome], wait: Any
) -> None:
    async def tidy_up() -> str:
        try:
            await wait()
        except TaskTimedOut as error:
            SEEN.append(str(error))
        await asyncio.sleep(0.2)
        return "tidied"

    assert run(tidy_up).result == '"tidied"'
    assert SEEN == ["The task ran longer than its TIMEOUT_SECONDS (0.3)."]


def test_a_cancel_is_no_exception_and_is_caught_by_its_name(
    run: Callable[..., Outcome], requests: tuple[int, int]
) -> None:
    async def be_cancelled() -> None:
        try:
            os.write(requests[1], cancel_message(*TASK[:2]))
            await asyncio.sleep(60)
        except Exception:  # noqa: BLE001 - it must not come here
            SEEN.append("Exception")
        except TaskCancelled:
            SEEN.append("TaskCancelled")
            raise RuntimeError("it makes something else of it") from None

    assert run(be_cancelled, UnlimitedCoroutine).kind == CANCELLED
    assert SEEN == ["TaskCancelled"]


def test_what_a_coroutine_leaves_behind_is_cancelled(run: Callable[..., Outcome]) -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            SEEN.append("generator")

    async def leave() -> int:
        SEEN.append(numbers())
        number: int = await anext(SEEN[0])
        SEEN.append(asyncio.create_task(child()))
        await asyncio.sleep(0)
        return number

    outcome = run(leave)
    assert (outcome.kind, outcome.result) == (FINISHED, "1")
    assert SEEN[2:] == ["child", "generator"]


def test_a_coroutine_that_waits_for_a_cancelled_one_fails_as_itself(
    run: Callable[..., Outcome],
) -> None:
    async def wait_for_a_cancelled_one() -> None:
        other = asyncio.create_task(asyncio.sleep(60))
        other.cancel()
        await other

    outcome = run(wait_for_a_cancelled_one, UnlimitedCoroutine)
    assert (outcome.kind, outcome.error and outcome.error.type) == (
        FAILED,
        "asyncio.exceptions.CancelledError",
    )


def test_nothing_is_raised_after_the_end_of_a_coroutine(run: Callable[..., Outcome]) -> None:
    """Ends coroutines around their limit; an exception anywhere else would end the test."""
    kinds = set()
    for step in (-100, *range(-30, 60, 3), 5000):

        async def end_around_its_limit(late: float = step / 10_000) -> None:
            await asyncio.sleep(0.3 + late)

        kinds.add(run(end_around_its_limit).kind)
    assert kinds == {FINISHED, FAILED}
