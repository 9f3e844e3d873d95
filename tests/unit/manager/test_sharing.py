"""Which tasks get into a worker together, and who waits for one of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from django_partisan import registry
from django_partisan.attempt import ClaimedTask
from django_partisan.exceptions import TaskCancelled
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.pool.chunks import SharedChunks
from django_partisan.manager.pool.hard_limits import HardLimits
from django_partisan.manager.pool.launcher_client import LauncherClient
from django_partisan.manager.pool.sharing import Sharing
from django_partisan.manager.pool.worker_handle import WorkerHandle
from django_partisan.manager.runtimes import Runtimes
from django_partisan.processor import BaseTaskProcessor
from django_partisan.wire.channel import BlockingChannel
from django_partisan.wire.messages import Blocked, Limited, Shared, message_of, order_in
from tests.support.claimed_tasks import claimed_task, finished_outcome


@registry.register
class InLoop(BaseTaskProcessor):
    async def run(self) -> None: ...


@registry.register
class InThread(BaseTaskProcessor):
    THREAD_SAFE = True

    def run(self) -> None: ...


@registry.register
class AtomicInThread(InThread):
    ATOMIC = True


@registry.register
class Alone(BaseTaskProcessor):
    def run(self) -> None: ...


def task(kind: type[BaseTaskProcessor], number: int, **changes: object) -> ClaimedTask:
    name = f"{kind.__module__}.{kind.__qualname__}"
    return claimed_task(number, processor_class=name, **changes)


class Handing:
    """A local queue and workers, and what has been handed to each."""

    def __init__(self, workers: int, places: int) -> None:
        self.queue = LocalQueue()
        self.runtimes = Runtimes()
        self.sharing = Sharing(lambda name: {"few": 2}.get(name, places))
        self.chunks = SharedChunks(self.runtimes, lambda _: True, self.sharing)
        self.workers = [
            WorkerHandle(number, 0.0, cast("LauncherClient", None)) for number in range(workers)
        ]

    def hand_out(self) -> list[list[int]]:
        """Do what the pool does, and return the tasks that each worker has in hand."""
        has_any = True
        while has_any:
            has_any = False
            for worker in sorted(self.workers, key=lambda worker: len(worker.in_hand)):
                chunk = self.chunks.next(worker, self.queue, len(self.workers))
                if worker.accepts and chunk:
                    worker.hand_out(chunk, 0.0, self.sharing.places(chunk[0][0]))
                    has_any = True
        return self.in_hand()

    def in_hand(self) -> list[list[int]]:
        return [[item.task.id for item in worker.in_hand] for worker in self.workers]

    def end(self, *numbers: int) -> None:
        for worker in self.workers:
            for item in list(worker.in_hand):
                if item.task.id in numbers:
                    channel = BlockingChannel(worker.theirs)
                    channel.send(message_of(finished_outcome(item.task)))
            worker.theirs.setblocking(True)
            worker.receive(now=1.0)


@pytest.fixture
def handing(request: pytest.FixtureRequest) -> Iterator[Handing]:
    made = Handing(*getattr(request, "param", (2, 4)))
    yield made
    for worker in made.workers:
        worker.close()


def test_what_may_share_is_said_by_its_class_and_its_queue(handing: Handing) -> None:
    places = handing.sharing.places
    kinds = (InLoop, InThread, AtomicInThread, Alone)
    assert [places(task(kind, 1)) for kind in kinds] == [4, 4, 1, 1]
    assert places(task(InLoop, 1, queue_name="few")) == 2
    assert places(task(InLoop, 1, rescues=1)) == 1
    assert places(claimed_task(1, processor_class="nobody.Knows")) == 1


def test_workers_are_filled_evenly_up_to_their_places(handing: Handing) -> None:
    handing.queue.put([task(InLoop, number) for number in range(6)], now=0)
    assert sorted(map(len, handing.hand_out())) == [3, 3]
    handing.queue.put([task(InThread, number) for number in range(6, 20)], now=0)
    assert sorted(map(len, handing.hand_out())) == [4, 4]
    assert handing.queue.qsize() == 12


def test_of_quick_ones_some_more_wait_in_the_worker(handing: Handing) -> None:
    handing.runtimes.learn(task(InLoop, 1).processor_class, 0.01)
    handing.queue.put([task(InLoop, number) for number in range(40)], now=0)
    assert {len(each) for each in handing.hand_out()} == {5}


def test_what_may_not_share_waits_for_a_worker_of_its_own_and_others_pass_it(
    handing: Handing,
) -> None:
    handing.queue.put([task(InLoop, number) for number in range(4)], now=0)
    handing.hand_out()
    alone = [task(Alone, number, priority=0) for number in (10, 11)]
    handing.queue.put([*alone, task(InLoop, 20), task(InLoop, 21), task(InLoop, 22)], now=5)
    saved, other = sorted(map(len, handing.hand_out()))
    assert (saved, other, handing.queue.aside) == (2, 4, 2)
    assert handing.queue.ids() == {10, 11, 22}
    drained = next(ids for ids in handing.in_hand() if len(ids) == 2)
    handing.end(*drained)
    assert [10] in handing.hand_out()
    handing.end(10)
    assert [11] in handing.hand_out()
    handing.end(11)
    assert [22] in handing.hand_out(), "the worker is shared again"
    assert not handing.queue.qsize()


@pytest.mark.parametrize("handing", [(1, 3)], indirect=True)
def test_the_only_worker_is_drained_for_what_may_not_share(handing: Handing) -> None:
    handing.queue.put([task(InLoop, 1), task(Alone, 2), task(InLoop, 3)], now=0)
    assert handing.hand_out() == [[1]]
    handing.end(1)
    assert handing.hand_out() == [[2]]
    handing.end(2)
    assert handing.hand_out() == [[3]]


def test_nothing_is_kept_free_for_what_is_gone(handing: Handing) -> None:
    handing.queue.put([task(InLoop, number) for number in range(2)], now=0)
    handing.hand_out()
    handing.queue.put([task(Alone, 2)], now=5)
    handing.hand_out()
    assert handing.queue.take_older_than(4) == []
    assert [each.id for each in handing.queue.take_older_than(6)] == [2]
    handing.queue.put([task(InLoop, number) for number in range(3, 9)], now=7)
    assert sorted(map(len, handing.hand_out())) == [4, 4]


def test_what_was_set_aside_is_found_as_all_else_that_waits() -> None:
    queue = LocalQueue()
    queue.put([claimed_task(1), claimed_task(2)], now=0)
    queue.put_first([claimed_task(3)])
    queue.set_aside()
    queue.set_aside()
    assert (queue.aside, queue.qsize(), queue.ids()) == (2, 3, {1, 2, 3})
    assert queue.take(lambda each: each.id == 1) == [claimed_task(1)]
    assert queue.take_older_than(99) == [claimed_task(2)], "the other one came back from a worker"
    assert queue.get_aside() == claimed_task(3)
    queue.put([claimed_task(4), claimed_task(5)], now=0)
    queue.set_aside()
    assert [each.id for each in queue.take_all()] == [4, 5]
    with pytest.raises(IndexError):
        queue.set_aside()


# ----- the worker, as the manager sees it -----


@pytest.fixture
def worker() -> Iterator[WorkerHandle]:
    handle = WorkerHandle(1, 0.0, cast("LauncherClient", None))
    handle.hand_out([(claimed_task(number), None) for number in (1, 2, 3)], 10.0, places=3)
    yield handle
    handle.close()


@pytest.fixture
def theirs(worker: WorkerHandle) -> BlockingChannel:
    return BlockingChannel(worker.theirs)


def test_tasks_are_handed_out_together_and_end_in_any_order(
    worker: WorkerHandle, theirs: BlockingChannel
) -> None:
    order = order_in(theirs.receive())
    assert isinstance(order, Shared)
    assert ([each.id for each in order.tasks], order.places) == ([1, 2, 3], 3)
    for number in (2, 1):
        theirs.send(message_of(finished_outcome(claimed_task(number))))
    assert [each.id for each, _ in worker.receive(11.0)] == [2, 1]
    theirs.send(message_of(finished_outcome(claimed_task(2))))
    assert worker.receive(11.0) == []
    assert worker.is_gone, "it has ended before"


def test_the_snapshot_tells_of_all_of_them(worker: WorkerHandle) -> None:
    told = worker.snapshot(12.5)
    assert (told["task"], told["seconds"]) == (1, 2.5)
    assert [(each["task"], each["seconds"]) for each in told["beside"]] == [(2, 2.5), (3, 2.5)]


class Pool:
    def __init__(self, worker: WorkerHandle) -> None:
        self.workers = {1: worker}

    def receive(self, worker: WorkerHandle) -> None:
        worker.receive(0.0)


def test_those_beside_one_that_does_not_stop_have_time_to_end(
    worker: WorkerHandle, theirs: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[float] = []
    monkeypatch.setattr(worker, "send_kill", lambda: killed.append(1))
    limits = HardLimits(Pool(worker), LocalQueue())
    worker._read_tokens()
    theirs.send(message_of(Limited(10.0, 5.0, 2.0, 3)))
    worker.receive(10.0)
    assert limits.next_deadline() == 17.0
    limits.turn(17.0)
    assert (killed, worker.accepts, limits.next_deadline()) == ([], False, 19.0)
    for number in (1, 2):
        theirs.send(message_of(finished_outcome(claimed_task(number))))
    limits.turn(18.0)
    assert killed
    outcome = limits.outcome(worker, claimed_task(3))
    assert outcome is not None
    assert (outcome.kind, outcome.started) == ("failed", 10.0)


def test_one_that_stops_after_all_keeps_its_worker(
    worker: WorkerHandle, theirs: BlockingChannel
) -> None:
    limits = HardLimits(Pool(worker), LocalQueue())
    worker._read_tokens()
    theirs.send(message_of(Limited(10.0, 5.0, 2.0, 3)))
    worker.receive(10.0)
    limits.turn(17.0)
    theirs.send(message_of(finished_outcome(claimed_task(3))))
    worker.receive(18.0)
    assert worker.accepts
    limits.turn(30.0)
    assert not worker.is_over_limit


def test_only_who_keeps_the_others_from_going_on_pays_for_that(
    worker: WorkerHandle, theirs: BlockingChannel
) -> None:
    limits = HardLimits(Pool(worker), LocalQueue())
    worker._read_tokens()
    theirs.send(message_of(Limited(10.0, 5.0, 2.0, 3)))
    theirs.send(message_of(Blocked(1)))
    worker.receive(10.0)
    limits.turn(17.0)
    limits.turn(19.0)
    assert worker.is_over_limit
    outcomes = [limits.outcome(worker, claimed_task(number)) for number in (1, 2, 3)]
    kinds = [outcome.kind for outcome in outcomes if outcome is not None]
    assert kinds == ["orphaned", "released", "released"]


def test_each_of_them_is_cancelled_by_itself(worker: WorkerHandle, theirs: BlockingChannel) -> None:
    limits = HardLimits(Pool(worker), LocalQueue())
    worker._read_tokens()
    assert limits.cancel({2: 1}, 20.0) == []
    assert limits.cancel({2: 1, 3: 1}, 21.0) == []
    assert worker.accepts
    errors = {number: limit.error for number, limit in worker.hard_limits.items()}
    assert set(errors) == {2, 3}
    assert all(isinstance(error, TaskCancelled) for error in errors.values())
    assert worker.hard_limits[2].kill_at < worker.hard_limits[3].kill_at
