"""A process that enqueues the load at a steady rate until its input ends.

Its last words are how many numbers it has used: tasks 0 to that number less one were enqueued.
"""

from __future__ import annotations

import argparse
import itertools
import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import django

from benchmarks.soak.kinds import kind_of

if TYPE_CHECKING:
    from benchmarks.soak.soak_app.partisan_tasks import Numbered
    from django_partisan.models import Task

TICK_SECONDS: Final = 0.1
DELAY_SECONDS: Final = 3
LARGE: Final = "x" * 10_000


def main() -> None:
    """Enqueue until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--most", type=int, required=True)
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.soak.settings"
    django.setup()
    print(Load(options.rate, options.most).run(), flush=True)


class Load:
    """What has been enqueued so far, and what is still to be cancelled."""

    def __init__(self, rate: float, most: int) -> None:
        self._rate = rate
        self._most = most
        self._next = 0
        self._to_stop: deque[tuple[float, Task]] = deque()

    def run(self) -> int:
        """Enqueue the load tick by tick; return how many numbers were used."""
        started = time.monotonic()
        while not _has_ended(TICK_SECONDS):
            now = time.monotonic()
            wanted = min(self._most, int(self._rate * (now - started)))
            # Behind a database that was slow, the load is made up for within seconds, not at once.
            self.enqueue(range(self._next, min(wanted, self._next + int(self._rate) + 1)))
            self._stop_what_runs(now)
        self._stop_what_runs(float("inf"))
        return self._next

    def enqueue(self, numbers: range) -> None:
        """Enqueue the tasks with these numbers, each in the way of its kind."""
        for name, group in itertools.groupby(
            sorted(numbers, key=lambda number: kind_of(number).name),
            key=lambda number: kind_of(number).name,
        ):
            self._enqueue_kind(name, list(group))
        self._next = max(self._next, numbers.stop)

    def _enqueue_kind(self, name: str, numbers: Sequence[int]) -> None:
        from benchmarks.soak.soak_app import partisan_tasks

        processor: type[Numbered] = getattr(partisan_tasks, name)
        if name in {"Noop", "Nap"}:
            processor.delay_many([number] for number in numbers)
            return
        enqueue = _WAYS.get(name, _enqueue_plainly)
        for number in numbers:
            task = enqueue(processor, number)
            if name == "Stopped":
                self._to_stop.append((time.monotonic() + 1, task))

    def _stop_what_runs(self, now: float) -> None:
        while self._to_stop and self._to_stop[0][0] <= now:
            self._to_stop.popleft()[1].cancel()


def _enqueue_plainly(processor: type[Numbered], number: int) -> Task:
    return processor(number).delay()


def _enqueue_large(processor: type[Numbered], number: int) -> Task:
    return processor(number, LARGE).delay()


def _enqueue_for_later(processor: type[Numbered], number: int) -> Task:
    return processor(number).delay(execute_after=DELAY_SECONDS)


def _enqueue_twice(processor: type[Numbered], number: int) -> Task:
    from django.db import transaction

    # In one transaction, else the first one may have been claimed already.
    with transaction.atomic():
        first, second = processor(number).delay(), processor(number).delay()
    if first.pk != second.pk:
        raise RuntimeError(f"Task {number} was enqueued twice, as {first} and as {second}.")
    return first


def _enqueue_and_cancel(processor: type[Numbered], number: int) -> Task:
    task = processor(number).delay(execute_after=60)
    if not task.cancel():
        raise RuntimeError(f"Task {number} could not be cancelled: {task}.")
    return task


_WAYS: Final[dict[str, Callable[[type[Any], int], Any]]] = {
    "Delayed": _enqueue_for_later,
    "Duplicated": _enqueue_twice,
    "Large": _enqueue_large,
    "Withdrawn": _enqueue_and_cancel,
}


def _has_ended(seconds: float) -> bool:
    """Wait, and say whether the input has ended meanwhile."""
    readable, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(readable)


if __name__ == "__main__":
    main()
