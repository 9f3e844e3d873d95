"""Tasks are named, recorded and told of by many at once: each comes to its rightful end."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from django_partisan import lifecycle
from django_partisan.attempt import FAILED, FINISHED, ClaimedTask
from django_partisan.models import Dependency, Task
from tests.support.dependents import assert_all_ended_once, assert_in_order
from tests.support.factories import OWNER, at_once, claim, ended_attempt, record
from tests.support.helpers import HANG_SECONDS
from tests.support.processors import Plain

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]
TASKS = [400, pytest.param(4_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])]


class Fire:
    """What the rivals share: the newest tasks, and how many are still to be enqueued."""

    def __init__(self, tasks: int) -> None:
        self._left = tasks
        self._lock = threading.Lock()
        self._idle_since = time.monotonic()
        self.newest: deque[int] = deque(maxlen=40)
        self.enqueuers = 0
        self.has_burnt_down = threading.Event()

    def take(self) -> bool:
        """Say whether one more task is to be enqueued, and count it."""
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def moved(self, count: int) -> None:
        """Fail when nothing has moved for long; end when nothing is left to move."""
        if count:
            self._idle_since = time.monotonic()
        elif self._left < 0 and not _unfinished():
            self.has_burnt_down.set()
        assert time.monotonic() - self._idle_since < HANG_SECONDS, "tasks wait for ever"


def _unfinished() -> bool:
    return Task.objects.exclude(status__in=Task.TERMINAL_STATUSES).exists()


@pytest.mark.parametrize("tasks", TASKS)
def test_nobody_waits_for_ever_or_runs_early_under_fire(tasks: int) -> None:
    fire, deadlocks = Fire(tasks), _deadlocks()
    at_once(
        *[_enqueuer(fire, number) for number in range(3)],
        *[_recorder(fire, number) for number in range(3)],
        _stranger(fire),
    )
    while lifecycle.tell_dependents().has_more:
        pass
    assert Task.objects.count() == tasks
    assert Dependency.objects.count() > 2 * tasks
    assert_in_order()
    assert_all_ended_once()
    assert _deadlocks() == deadlocks


def _enqueuer(fire: Fire, number: int) -> Callable[[], None]:
    chance = random.Random(number)

    def enqueue() -> None:
        while fire.take():
            newest = sorted(set(fire.newest))
            count = chance.randrange(min(8, len(newest)) + 1)
            after = [Task(pk=pk) for pk in chance.sample(newest, count)]
            policy = "run" if chance.random() < 0.8 else "cancel"
            with transaction.atomic():
                task = Plain(number).delay(after=after, on_dependency_failure=policy)
                time.sleep(chance.random() / 200)  # with the parents locked
            fire.newest.append(task.pk)
            fire.moved(1)

    return enqueue


def _recorder(fire: Fire, number: int) -> Callable[[], None]:
    chance = random.Random(100 + number)

    def record_and_tell() -> None:
        held: list[ClaimedTask] = []
        while not fire.has_burnt_down.is_set():
            claimed = claim(chance.randrange(1, 20), owner=OWNER + number)
            lifecycle.mark_started(claimed)
            held += claimed
            chance.shuffle(held)
            batch = held[: chance.randrange(1, 10)]
            kinds = [FAILED if task.id % 8 == 0 else FINISHED for task in batch]
            recorded = record(*map(ended_attempt, batch, kinds)) if batch else set()
            held = [task for task in held if task.id not in recorded]
            if chance.random() < 0.8 or not recorded:
                lifecycle.tell_dependents()
            fire.moved(len(claimed) + len(recorded))

    return record_and_tell


def _stranger(fire: Fire) -> Callable[[], None]:
    chance = random.Random(200)

    def lock_rows() -> None:
        while not fire.has_burnt_down.is_set():
            newest = sorted(set(fire.newest))
            victims = chance.sample(newest, min(3, len(newest)))
            with transaction.atomic():
                list(Task.objects.filter(pk__in=victims).order_by("pk").select_for_update())
                time.sleep(chance.random() / 100)

    return lock_rows


def _deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
