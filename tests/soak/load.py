"""The load of a soak: how many tasks there are of each kind, and how each rightfully ends."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from django_partisan.models import Task
    from tests.soak.app.partisan_tasks import Numbered

MINUTES_VARIABLE: Final = "PARTISAN_SOAK_MINUTES"
RATE_VARIABLE: Final = "PARTISAN_SOAK_RATE"
SECONDS: Final = 60 * float(os.environ.get(MINUTES_VARIABLE, "0.2"))
RATE: Final = float(os.environ.get(RATE_VARIABLE, "300"))
"""Tasks per second."""
BLOCK: Final = 10_000
"""So many tasks in a row hold each kind as often as its share says."""
DELAY_SECONDS: Final = 3
LARGE: Final = "x" * 10_000


class Kind(NamedTuple):
    """Tasks of the processor class of the same name; of `Noop` where there is none."""

    name: str
    share: int
    end: str = "finished"
    retries: int = 0
    postpones: int = 0


_RARER: Final = (
    Kind("Nap", 500),
    Kind("Delayed", 400),
    Kind("Duplicated", 400),
    Kind("Retried", 400, retries=2),
    Kind("Postponed", 400, postpones=1),
    Kind("Atomic", 400),
    Kind("Failed", 200, "error"),
    Kind("Large", 200),
    Kind("Withdrawn", 100, "cancelled"),
    Kind("Swollen", 20),
    Kind("Stopped", 1, "cancelled"),
    Kind("TimedOut", 1, "error"),
    Kind("Stubborn", 1, "error"),
)
KINDS: Final = (Kind("Noop", BLOCK - sum(kind.share for kind in _RARER)), *_RARER)


def kind_of(number: int) -> Kind:
    """Return the kind of the task with this number."""
    return _ORDER[number % BLOCK]


def _spread() -> list[Kind]:
    """Return the kinds of a block in their order, each as evenly spread as can be.

    The rarest ones come in its first seconds, so that a short run has them too.
    """
    places = [
        ((count + 0.01 * index) / kind.share, index)
        for index, kind in enumerate(KINDS)
        for count in range(kind.share)
    ]
    return [KINDS[index] for _, index in sorted(places)]


_ORDER: Final = _spread()


class Load:
    """What has been enqueued so far, and what is still to be cancelled."""

    def __init__(self) -> None:
        self.enqueued = 0
        self.most = int(RATE * SECONDS) + 1
        self._to_stop: deque[tuple[float, Task]] = deque()

    def keep_up(self, seconds: float) -> None:
        """Enqueue what should have been enqueued so many seconds after the start."""
        # Behind a database that was slow, the load is made up for within seconds, not at once.
        wanted = min(self.most, int(RATE * seconds), self.enqueued + int(RATE) + 1)
        numbers = sorted(range(self.enqueued, wanted), key=lambda number: kind_of(number).name)
        for name, group in itertools.groupby(numbers, key=lambda number: kind_of(number).name):
            self._enqueue(name, list(group))
        self.enqueued = wanted
        self.stop_what_runs(time.monotonic())

    def stop_what_runs(self, now: float) -> None:
        """Cancel those that have run for a second by then."""
        while self._to_stop and self._to_stop[0][0] <= now:
            self._to_stop.popleft()[1].cancel()

    def _enqueue(self, name: str, numbers: Sequence[int]) -> None:
        from tests.soak.app import partisan_tasks

        processor: type[Numbered] = getattr(partisan_tasks, name, partisan_tasks.Noop)
        if name in {"Noop", "Nap"}:
            processor.delay_many([number] for number in numbers)
            return
        for number in numbers:
            task = _enqueue_one(name, processor, number)
            if name == "Stopped":
                self._to_stop.append((time.monotonic() + 1, task))


def _enqueue_one(name: str, processor: type[Numbered], number: int) -> Task:
    from django.db import transaction

    match name:
        case "Large":
            return processor(number, LARGE).delay()
        case "Delayed":
            return processor(number).delay(execute_after=DELAY_SECONDS)
        case "Withdrawn":
            task = processor(number).delay(execute_after=60)
            assert task.cancel(), f"{number} could not be cancelled: {task}"
        case "Duplicated":
            # In one transaction, else the first one may have been claimed already.
            with transaction.atomic():
                task, second = processor(number).delay(), processor(number).delay()
            assert task.pk == second.pk, f"{number} was enqueued twice, as {task} and as {second}"
        case _:
            task = processor(number).delay()
    return task
