"""Tasks in threads are interrupted each by itself, and nothing else is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any, cast

import pytest

from django_partisan import registry
from django_partisan.attempt import CANCELLED, FAILED, FINISHED, Outcome
from django_partisan.exceptions import TaskCancelled, TaskTimedOut
from django_partisan.processor import BaseTaskProcessor
from django_partisan.wire.messages import cancel_message
from django_partisan.worker.attempts import ThreadAttempt
from django_partisan.worker.interruption import SIGNAL
from django_partisan.worker.interruptions import Interruptions
from django_partisan.worker.process_state import ProcessState
from django_partisan.worker.threads import Threads
from tests.support.factories import claimed_task
from tests.support.helpers import wait_until

ACTION: list[Callable[[], Any]] = []


@registry.register
class UnlimitedInThread(BaseTaskProcessor):
    THREAD_SAFE = True

    def run(self) -> Any:
        return ACTION[0]()


@registry.register
class BriefInThread(UnlimitedInThread):
    TIMEOUT_SECONDS = 0.05
    GRACE_SECONDS = 7


class State:
    """Puts nothing back, and is no child."""

    def end_if_child(self) -> None: ...


class Running:
    """Several attempts in threads, beside an event loop, as a worker makes them."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float, float, int]] = []
        self.blocked: list[int] = []
        self.reader, self.writer = os.pipe()
        self.loop = asyncio.new_event_loop()
        self.interruptions = Interruptions(
            self.reader, lambda *limit: self.told.append(limit), self.blocked.append, self.loop
        )
        self.threads = Threads()

    def attempt(self, processor: type[BaseTaskProcessor], task_id: int) -> ThreadAttempt:
        task = claimed_task(processor())._replace(id=task_id)
        state = cast("ProcessState", State())
        made = ThreadAttempt(task, copy_context(), self.threads, state, self.interruptions.began)
        self.interruptions.add(made)
        return made

    def run(self, *processors: type[BaseTaskProcessor]) -> list[Outcome]:
        attempts = [self.attempt(each, number) for number, each in enumerate(processors, 1)]

        async def outcomes() -> list[Outcome]:
            return await asyncio.gather(*(attempt.outcome() for attempt in attempts))

        made = self.loop.run_until_complete(outcomes())
        for attempt in attempts:
            self.interruptions.remove(attempt)
        return made

    def cancel(self, task_id: int) -> None:
        lease = claimed_task(UnlimitedInThread()).lease
        os.write(self.writer, cancel_message(task_id, lease))


@pytest.fixture
def running() -> Iterator[Running]:
    former = signal.getsignal(SIGNAL)
    made = Running()
    made.interruptions.start()
    yield made
    made.interruptions.close()
    wait_until(lambda: not any(t.name == "interruption" for t in threading.enumerate()))
    signal.signal(SIGNAL, former)
    made.loop.close()
    while made.threads._idle:
        made.threads._idle.pop().shutdown()
    os.close(made.reader)
    os.close(made.writer)


def wait_in_python() -> None:
    while True:
        time.sleep(0.001)


def test_only_who_takes_too_long_is_interrupted(running: Running) -> None:
    gate = threading.Event()

    def wait_or_go_on() -> str:
        if threading.current_thread().name.endswith("_0") and gate.is_set():
            return "on time"
        gate.set()
        wait_in_python()
        return "never"

    ACTION[:] = [wait_or_go_on]
    first, second = running.run(BriefInThread, BriefInThread)
    kinds = {first.kind, second.kind}
    assert kinds <= {FAILED, FINISHED}
    late = first if first.kind == FAILED else second
    assert late.error is not None
    assert late.error.type == "django_partisan.exceptions.TaskTimedOut"
    assert "in wait_in_python" in late.error.traceback
    assert [(limit, grace) for _, limit, grace, _ in running.told] == [(0.05, 7)] * 2
    assert running.interruptions.has_interrupted


def test_one_of_several_is_cancelled(running: Running) -> None:
    begun: list[int] = []
    ended: list[int] = []

    def wait_for_the_second() -> None:
        try:
            begun.append(1)
            if len(begun) == 3:
                running.cancel(2)
            while not ended:
                time.sleep(0.001)
        except TaskCancelled:
            ended.append(1)
            raise

    ACTION[:] = [wait_for_the_second]
    outcomes = running.run(*[UnlimitedInThread] * 3)
    assert [outcome.kind for outcome in outcomes] == [FINISHED, CANCELLED, FINISHED]


def test_a_request_that_comes_before_the_task_holds_as_well(running: Running) -> None:
    running.cancel(1)
    wait_until(lambda: bool(running.interruptions._early))
    ACTION[:] = [wait_in_python]
    assert running.run(UnlimitedInThread)[0].kind == CANCELLED


def test_a_limit_is_caught_by_its_name_and_comes_once(running: Running) -> None:
    def go_on() -> str:
        with contextlib.suppress(TaskTimedOut):
            wait_in_python()
        for _ in range(300):
            time.sleep(0.001)
        return "done"

    ACTION[:] = [go_on]
    assert running.run(BriefInThread)[0].result == '"done"'


def test_nothing_is_raised_after_the_end_of_a_task(running: Running) -> None:
    """Ends tasks around their limit; an exception anywhere else would be no outcome of theirs."""
    ended: Counter[str] = Counter()
    for step in (-400, *range(-30, 60, 2), 5000):

        def end_around_the_limit(seconds: float = 0.05 + step / 10_000) -> None:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                pass

        ACTION[:] = [end_around_the_limit]
        (outcome,) = running.run(BriefInThread)
        ended[outcome.kind] += 1
        if outcome.error is not None:
            assert outcome.error.type == "django_partisan.exceptions.TaskTimedOut"
    assert set(ended) == {FINISHED, FAILED}
