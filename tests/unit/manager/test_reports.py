"""Reports of workers are taken in together while no worker will need anything soon."""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator
from typing import cast

import pytest

from django_partisan.manager import WorkersManager
from django_partisan.manager.pool.launcher_client import LauncherClient
from django_partisan.manager.pool.worker_handle import WorkerHandle
from django_partisan.manager.runtimes import CHUNK_SECONDS
from django_partisan.wire.channel import BlockingChannel
from django_partisan.wire.messages import message_of
from tests.support.claimed_tasks import claimed_task, finished_outcome

TASKS = [claimed_task(number) for number in range(1, 6)]


class FakeWorker:
    """A worker of a manager, driven by the test: it has five tasks in hand and reports on them."""

    def __init__(self, manager: WorkersManager, number: int, seconds: float | None) -> None:
        self.handle = WorkerHandle(number, 0.0, cast("LauncherClient", None))
        self._channel = BlockingChannel(self.handle.theirs)
        self._left = list(TASKS)
        self.handle.hand_out([(task, seconds) for task in TASKS], now=0)
        manager.pool.workers[number] = self.handle
        read = manager.pool._reader(self.handle)
        manager.selector.register(self.handle.channel, selectors.EVENT_READ, read)

    def report(self) -> None:
        """Say that the next task has ended."""
        self._channel.send(message_of(finished_outcome(self._left.pop(0))))


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkersManager]:
    """Return a manager that has nothing to do for a while but to hear its workers."""
    made = WorkersManager()
    monkeypatch.setattr(made, "_deadlines", lambda: [time.monotonic() + 5])
    yield made
    for worker in made.pool.workers.values():
        worker.close()
    made.selector.close()
    made.link.close()


def test_reports_gather_while_every_worker_has_enough(
    manager: WorkersManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = FakeWorker(manager, 1, CHUNK_SECONDS / 5)
    worker.report()
    pauses = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        worker.report()

    monkeypatch.setattr(time, "sleep", sleep)
    manager.wait()
    assert len(manager.recorder) == 2
    assert [seconds < CHUNK_SECONDS / 4 for seconds in pauses] == [True]


@pytest.mark.parametrize("left", [0.0, 0.004, 5.0])
def test_the_pause_and_the_wait_end_with_the_next_deadline(
    left: float, manager: WorkersManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeWorker(manager, 1, CHUNK_SECONDS / 5)
    waits: list[float] = []

    def select(wait: float) -> list[None]:
        waits.append(wait)
        return []

    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(manager, "_deadlines", lambda: [100.0 + left])
    monkeypatch.setattr(manager.selector, "select", select)
    manager.wait()
    assert min(waits) >= 0
    assert sum(waits) == pytest.approx(left)


@pytest.mark.parametrize(
    "seconds", [CHUNK_SECONDS / 11, None], ids=["it has little", "what it has may take long"]
)
def test_a_worker_that_may_soon_need_something_is_heard_at_once(
    seconds: float | None, manager: WorkersManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeWorker(manager, 1, CHUNK_SECONDS / 5)
    FakeWorker(manager, 2, seconds).report()
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"pauses for {seconds} s"))
    manager.wait()
    assert len(manager.recorder) == 1


def test_a_manager_without_workers_does_not_pause(
    manager: WorkersManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "_deadlines", lambda: [time.monotonic()])
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"pauses for {seconds} s"))
    manager.wait()
