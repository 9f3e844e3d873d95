"""Worker time is shared out by weight; no clock runs here, only seconds are added up."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping

import pytest

from django_partisan.attempt import ClaimedTask
from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.runtimes import Runtimes
from django_partisan.manager.stride import Stride
from tests.support.claimed_tasks import claimed_task


class Workshop:
    """Some workers, and queues that never run dry unless a test says so."""

    def __init__(
        self, weights: Mapping[str, float], *, workers: int = 2, is_strict: bool = False
    ) -> None:
        self.runtimes = Runtimes()
        self.stride = Stride(self.runtimes, is_strict=is_strict)
        self.queue = LocalQueue(self.stride)
        for name, weight in weights.items():
            self.stride.serve(name, weight)
        self.now = 0.0
        self._last_id = 0
        self._busy = [(0.0, number, 0.0, claimed_task(0)) for number in range(workers)]

    def run(self, until: float, seconds: Mapping[str, float]) -> dict[str, float]:
        """Let the workers run tasks of these queues that take so long; return the time of each."""
        spent: defaultdict[str, float] = defaultdict(float)
        while self.now < until:
            self.now, worker, took, ended = heapq.heappop(self._busy)
            if ended.id:
                self.runtimes.learn(ended.processor_class, took)
                self.stride.ended(ended, took)
                spent[ended.queue_name] += took
            for name in seconds:
                if not self.queue.waiting(name):
                    self.queue.put([self._task(name)], self.now)
            task = self.queue.get()
            takes = seconds[task.queue_name]
            heapq.heappush(self._busy, (self.now + takes, worker, takes, task))
        return spent

    def _task(self, queue_name: str) -> ClaimedTask:
        self._last_id += 1
        return claimed_task(
            self._last_id, queue_name=queue_name, processor_class=f"shop.{queue_name}"
        )


@pytest.mark.parametrize("seconds", [(0.01, 0.1), (0.1, 0.01), (0.05, 1.0), (0.05, 0.05)])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_time_is_shared_by_weight_however_long_the_tasks_of_each_queue_take(
    seconds: tuple[float, float], workers: int
) -> None:
    shop = Workshop({"mail": 3, "reports": 1}, workers=workers)
    spent = shop.run(400 * max(seconds), dict(zip(("mail", "reports"), seconds, strict=True)))
    assert spent["mail"] / sum(spent.values()) == pytest.approx(0.75, abs=0.02)


def test_equal_weights_share_equally_among_many() -> None:
    names = [f"queue {number}" for number in range(20)]
    spent = Workshop(dict.fromkeys(names, 1)).run(200, dict.fromkeys(names, 0.05))
    assert min(spent.values()) > 0.9 * max(spent.values())


def test_what_one_queue_does_not_need_the_others_have_and_keep() -> None:
    shop = Workshop({"mail": 3, "reports": 1})
    assert shop.run(100, {"reports": 0.1}).keys() == {"reports"}
    # It has had nothing for a hundred seconds; then it gets its share and little more.
    spent = shop.run(120, {"mail": 0.01, "reports": 0.1})
    assert spent["mail"] / sum(spent.values()) == pytest.approx(0.75, abs=0.05)
    assert spent["reports"] > 8


def test_a_queue_that_had_more_than_its_share_while_it_was_alone_owes_nothing() -> None:
    shop = Workshop({"mail": 1, "reports": 1})
    shop.run(100, {"mail": 0.01})
    spent = shop.run(110, {"mail": 0.01, "reports": 0.01})
    assert spent["mail"] / sum(spent.values()) == pytest.approx(0.5, abs=0.05)


def test_in_strict_order_the_first_queue_that_has_tasks_is_next() -> None:
    shop = Workshop({"mail": 1, "reports": 100}, is_strict=True)
    assert shop.run(10, {"mail": 0.1, "reports": 0.1}).keys() == {"mail"}
    assert shop.run(20, {"reports": 0.1})["reports"] > 0


def test_a_task_that_comes_back_unstarted_costs_its_queue_nothing() -> None:
    shop = Workshop({"mail": 1, "reports": 1})
    shop.runtimes.learn("shop.Mail", 10)
    task = claimed_task(1, queue_name="mail")
    shop.queue.put([task], 0)
    before = shop.stride.turn_of("mail")
    assert shop.queue.get() == task
    assert shop.stride.turn_of("mail") == before + 10
    shop.queue.put_first([task])
    assert shop.stride.turn_of("mail") == before


def test_what_waits_here_counts_as_if_it_had_been_run_when_the_next_claim_is_chosen() -> None:
    shop = Workshop({"mail": 2, "reports": 1})
    shop.stride.ended(claimed_task(1, queue_name="mail"), 0.5)
    assert shop.stride.turn_of("mail", waiting=10) == shop.stride.turn_of("mail") + 10 * 0.5 / 2


def test_time_is_shared_among_those_that_have_tasks() -> None:
    stride = Stride(Runtimes())
    mail, reports = stride.serve("mail", 3), stride.serve("reports", 1)
    stride.share_out(["mail", "reports"])
    assert (mail.share, reports.share) == (0.75, 0.25)
    stride.share_out(["reports"])
    assert reports.share == 1


def test_a_queue_that_is_not_served_any_more_has_its_turn_like_a_new_one() -> None:
    shop = Workshop({"mail": 1, "reports": 1})
    shop.run(10, {"mail": 0.1, "reports": 0.1})
    shop.stride.forget("reports")
    assert shop.run(20, {"mail": 0.1, "reports": 0.1})["reports"] > 0
