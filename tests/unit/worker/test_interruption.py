"""A task is interrupted while it runs, and at no other time."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from django_partisan import execution, registry
from django_partisan.attempt import CANCELLED, FAILED, FINISHED, ClaimedTask
from django_partisan.exceptions import PostponeTask, TaskCancelled, TaskTimedOut
from django_partisan.processor import BaseTaskProcessor
from django_partisan.wire.messages import cancel_message, give_back_message
from django_partisan.worker.interruption import SIGNAL, Interruption
from tests.support.factories import claimed_task
from tests.support.helpers import wait_until

ACTION: list[Callable[[], Any]] = []


@registry.register
class Unlimited(BaseTaskProcessor):
    """Does what the test wants done."""

    def run(self) -> Any:
        return ACTION[0]()


@registry.register
class Brief(Unlimited):
    TIMEOUT_SECONDS = 0.02
    GRACE_SECONDS = 7


@registry.register
class Unhurried(Unlimited):
    """Is in time on any machine."""

    TIMEOUT_SECONDS = 1.0
    GRACE_SECONDS = 7


@pytest.fixture
def told() -> list[tuple[float, float, float, int]]:
    """What a manager would have been told of tasks with a limit."""
    return []


@pytest.fixture
def requests() -> Iterator[tuple[int, int]]:
    """The pipe from the manager: where to read and where to write."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def interruption(
    requests: tuple[int, int], told: list[tuple[float, float, float, int]]
) -> Iterator[Interruption]:
    former = signal.getsignal(SIGNAL)
    interruption = Interruption(requests[0], lambda *limit: told.append(limit))
    interruption.start()
    yield interruption
    interruption.close()
    wait_until(lambda: not any(t.name == "interruption" for t in threading.enumerate()))
    signal.signal(SIGNAL, former)


@pytest.fixture
def ask(requests: tuple[int, int]) -> Callable[..., None]:
    """Ask for the end of a task as a manager does."""

    def ask(task_id: int = TASK.id, lease: int = TASK.lease) -> None:
        os.write(requests[1], cancel_message(task_id, lease))

    return ask


TASK = claimed_task(Unlimited())


class Host(execution.PlainHost):
    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def run(self, task: ClaimedTask, processor: execution.Processor) -> Any:
        return self._interruption.run(task, processor)


def run(interruption: Interruption, processor: type[Unlimited], action: Callable[[], Any]) -> Any:
    ACTION[:] = [action]
    return execution.execute(claimed_task(processor()), Host(interruption))


def wait(seconds: float) -> None:
    select.select([], [], [], seconds)


def test_a_task_that_takes_too_long_ends_with_its_limit(interruption: Interruption) -> None:
    outcome = run(interruption, Brief, lambda: wait(60))
    assert outcome.kind == FAILED
    assert outcome.error.type == "django_partisan.exceptions.TaskTimedOut"
    assert interruption.has_interrupted


def test_a_task_in_time_is_left_alone_and_nothing_comes_after_it(
    interruption: Interruption, told: list[tuple[float, float, float, int]]
) -> None:
    for _ in range(3):
        assert run(interruption, Unhurried, lambda: 1).result == "1"
    assert run(interruption, Unlimited, lambda: wait(1.1)).kind == FINISHED
    wait(0.05)
    assert not interruption.has_interrupted
    assert [(limit, grace) for _, limit, grace, _ in told] == [(1.0, 7)] * 3


def test_a_task_that_goes_on_is_interrupted_only_once(interruption: Interruption) -> None:
    def go_on() -> str:
        with pytest.raises(TaskTimedOut):
            wait(60)
        wait(0.3)
        return "done"

    # Its limit must not be over before it has come to where it expects that.
    assert run(interruption, Unhurried, go_on).result == '"done"'


def test_a_signal_that_comes_for_no_reason_changes_nothing(interruption: Interruption) -> None:
    assert run(interruption, Unlimited, lambda: os.kill(os.getpid(), SIGNAL)).kind == "finished"
    os.kill(os.getpid(), SIGNAL)
    assert not interruption.has_interrupted


def test_a_handler_that_a_task_has_taken_away_is_put_back(interruption: Interruption) -> None:
    run(interruption, Brief, lambda: signal.signal(SIGNAL, signal.SIG_IGN) and None)
    run(interruption, Brief, lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL}) and None)
    assert run(interruption, Brief, lambda: wait(60)).kind == FAILED


def test_a_limit_that_ends_with_the_task_never_hits_anything_else(
    interruption: Interruption,
) -> None:
    """Ends tasks around their limit; an exception anywhere else would end the test."""
    ended: Counter[str] = Counter()
    # Other threads of a busy interpreter have their turn every 5 ms.
    early = [-Brief.TIMEOUT_SECONDS] * 10
    for late in [*early, *(step / 10_000 for step in range(-20, 80)), 0.5]:
        outcome = run(interruption, Brief, partial(_loop, Brief.TIMEOUT_SECONDS + late))
        ended[outcome.kind] += 1
    assert set(ended) == {FINISHED, FAILED}


# --- cancelling


def test_a_cancelled_task_ends_as_cancelled(
    interruption: Interruption, ask: Callable[..., None]
) -> None:
    def be_cancelled() -> None:
        ask()
        wait(60)

    outcome = run(interruption, Unlimited, be_cancelled)
    assert outcome.kind == CANCELLED
    assert outcome.error.type == "django_partisan.exceptions.TaskCancelled"
    assert "in be_cancelled" in outcome.error.traceback


def test_a_request_that_comes_before_the_task_holds_as_well(
    interruption: Interruption, ask: Callable[..., None]
) -> None:
    ask()
    wait_until(lambda: interruption._requested is not None)
    assert run(interruption, Unlimited, lambda: wait(60)).kind == CANCELLED


def test_a_request_for_another_task_or_lease_changes_nothing(
    interruption: Interruption, ask: Callable[..., None]
) -> None:
    for other in [(TASK.id, TASK.lease - 1), (TASK.id + 1, TASK.lease)]:
        ask(*other)
        outcome = run(interruption, Unlimited, lambda: wait(0.1))
        assert outcome.kind == FINISHED
    assert not interruption.has_interrupted


@pytest.mark.parametrize("error", [ValueError("wrapped"), PostponeTask(5)])
def test_a_cancelled_task_is_cancelled_whatever_it_makes_of_that(
    interruption: Interruption, ask: Callable[..., None], error: Exception
) -> None:
    def wrap() -> None:
        try:
            ask()
            wait(60)
        except TaskCancelled:
            raise error from None

    outcome = run(interruption, Unlimited, wrap)
    assert outcome.kind == CANCELLED
    assert type(error).__name__ in outcome.error.traceback


def test_an_exception_handler_for_errors_does_not_keep_a_task_from_being_cancelled(
    interruption: Interruption, ask: Callable[..., None]
) -> None:
    def go_on() -> None:
        with contextlib.suppress(Exception):
            ask()
            wait(60)

    assert run(interruption, Unlimited, go_on).kind == CANCELLED


def test_a_task_that_comes_to_its_own_end_nevertheless_has_its_own_outcome(
    interruption: Interruption, ask: Callable[..., None]
) -> None:
    def finish() -> str:
        with contextlib.suppress(TaskCancelled):
            ask()
            wait(60)
        return "done"

    assert run(interruption, Unlimited, finish).result == '"done"'


def test_the_end_of_the_manager_disturbs_no_task(
    interruption: Interruption, requests: tuple[int, int]
) -> None:
    os.close(requests[1])
    os.dup2(requests[0], requests[1])
    assert run(interruption, Unlimited, lambda: wait(0.1)).kind == FINISHED
    assert run(interruption, Brief, lambda: wait(60)).kind == FAILED


def _loop(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_a_request_to_give_a_task_back_interrupts_nothing(
    interruption: Interruption, requests: tuple[int, int]
) -> None:
    def action() -> str:
        os.write(requests[1], give_back_message(TASK.id, TASK.lease))
        wait_until(lambda: interruption.wanted_back == {TASK[:2]})
        return "to its end"

    outcome = run(interruption, Unlimited, action)
    assert (outcome.kind, outcome.result) == ("finished", '"to its end"')
    assert not interruption.has_interrupted
