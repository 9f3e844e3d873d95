"""Iterations are stopped between two items, go on elsewhere, and do each item as often as said."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.db import connection

from django_partisan.control import pause, resume
from django_partisan.lifecycle import request_cancel, stored_checkpoint
from django_partisan.models import Attempt, Progress, Task
from tests.app.long_tasks import (
    FailAtItem,
    Iterate,
    IterateAtomically,
    IterateInTurns,
    IterateThrottled,
)
from tests.app.models import Ledger
from tests.app.partisan_tasks import Note
from tests.processes.conftest import StartManager
from tests.support.harness import SHORT_LIVES, Manager, Stopwatch
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are

FOREVER = 1_000_000
PATIENT = {"PARTISAN_MAX_RESCUES": 1000}
ONE: dict[str, object] = {"queue": {"WORKERS_COUNT": 1}}


def items_of(task_id: int) -> list[int]:
    """Return the items that were noted, in order."""
    rows = Ledger.objects.filter(task_id=task_id, note__startswith="item ").order_by("pk")
    return [int(note.split()[1]) for note in rows.values_list("note", flat=True)]


def has_begun(task_id: int, count: int = 3) -> bool:
    return Ledger.objects.filter(task_id=task_id, note__startswith="item ").count() >= count


def is_given_back(task_id: int) -> bool:
    task = Task.objects.get(pk=task_id)
    return (task.status, task.attempts, task.rescues) == ("new", 0, 0)


# ----- what stops it -----


def test_a_stopping_manager_waits_for_one_item_only(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(settings={"PARTISAN_SHUTDOWN_GRACE_SECONDS": 60.0})
    ids = [kind(FOREVER, 0.01).delay().pk for kind in (Iterate, IterateAtomically)]
    wait_until(lambda: all(map(has_begun, ids)), message=lambda: manager.log)
    watch = Stopwatch()
    manager.send(signal.SIGTERM)
    assert manager.wait_for_exit() == 0
    book.recovered("SIGTERM to exit", watch.seconds, within=2)
    assert all(map(is_given_back, ids))
    assert not Attempt.objects.exists()
    for task_id in ids:
        noted = items_of(task_id)
        assert noted == list(range(len(noted)))
        assert f'"cursor":{len(noted)},' in stored_checkpoint(task_id).text  # type: ignore[union-attr]
    request_cancel(ids)


@pytest.mark.parametrize("what", ["queue", "processor"])
def test_a_pause_stops_it_between_two_items_and_it_goes_on_afterwards(
    start_manager: StartManager, book: Book, what: str
) -> None:
    manager = start_manager()
    # On SQLite one transaction after another leaves writers elsewhere hardly a gap.
    kind = IterateAtomically if connection.vendor == "postgresql" else Iterate
    task_id = kind(FOREVER, 0.01).delay().pk
    wait_until(lambda: has_begun(task_id), message=lambda: manager.log)
    target: Any = {"queue_name": "default"} if what == "queue" else {"processor": kind}
    pause(**target)
    wait_until(lambda: is_given_back(task_id), message=lambda: manager.log)
    before = len(items_of(task_id))
    resume(**target)
    wait_until(lambda: has_begun(task_id, before + 3), message=lambda: manager.log)
    Task.objects.get(pk=task_id).cancel()
    wait_until(lambda: all_are([task_id], "cancelled"), message=lambda: manager.log)
    noted = items_of(task_id)
    assert noted == list(range(len(noted)))


def test_after_its_time_another_task_gets_the_worker(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(**ONE)
    task_id = IterateInTurns(FOREVER, 0.01).delay().pk
    wait_until(lambda: has_begun(task_id), message=lambda: manager.log)
    watch = Stopwatch()
    book.run(Note())
    book.recovered(
        "a task behind an iteration with MAX_RUNTIME_SECONDS = 1", watch.seconds, within=2
    )
    before = len(items_of(task_id))
    wait_until(lambda: has_begun(task_id, before + 3), message=lambda: manager.log)
    assert not Attempt.objects.exists()
    request_cancel([task_id])
    wait_until(lambda: all_are([task_id], "cancelled"))


def test_what_is_throttled_leaves_its_worker_to_others_and_goes_on_later(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(**ONE)
    task_id = IterateThrottled(5, 0, str(gate)).delay().pk
    book.run(*[Note()] * 5)
    assert not items_of(task_id)
    gate.touch()
    wait_until(lambda: all_are([task_id], "finished"), message=lambda: manager.log)
    assert items_of(task_id) == [0, 1, 2, 3, 4]
    task = Task.objects.get(pk=task_id)
    assert (task.attempts, task.retries, task.postpones) == (1, 0, 0)


# ----- errors -----


def test_an_item_that_always_fails_ends_in_error_after_the_retries_of_its_own(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager()
    task_id = FailAtItem(100, 40).delay().pk
    wait_until(lambda: all_are([task_id], "error"), message=lambda: manager.log)
    # The first failure, and the three retries that RETRY_ON_ERROR_CONFIG grants.
    assert Ledger.objects.filter(note="failure 40").count() == 4
    assert items_of(task_id) == list(range(40))
    told = Progress.objects.get(pk=task_id)
    assert (told.done, told.total, told.resumptions) == (40, 100, 1)


# ----- kills -----


@pytest.mark.parametrize(
    ("count", "seconds", "apart"),
    [
        pytest.param(600, 0.005, 1.5, id="some"),
        pytest.param(10_000, 0.001, 3.0, id="many", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("kind", [IterateAtomically, Iterate])
@pytest.mark.timeout(900)
def test_whatever_is_killed_no_item_is_missing_and_of_atomic_ones_none_comes_twice(
    start_manager: StartManager,
    book: Book,
    kind: type[Iterate],
    count: int,
    seconds: float,
    apart: float,
) -> None:
    ids = [kind(count, seconds).delay().pk for _ in range(2)]
    killer = _Killer(start_manager, apart)
    while not all_are(ids, "finished"):
        killer.turn()
    book.faults = killer.strikes
    print(f"{killer.strikes} strikes: {dict(killer.struck)}")
    killer.let_live()
    for task_id in ids:
        noted = Counter(items_of(task_id))
        assert set(noted) == set(range(count)), "items are missing"
        if kind is IterateAtomically:
            assert set(noted.values()) == {1}, "items came twice"
        told = Progress.objects.get(pk=task_id)
        assert (told.done, told.total) == (count, count)
    assert not any(map(stored_checkpoint, ids))


class _Killer:
    """Ends managers and workers at random, by SIGKILL and SIGTERM, and starts managers again."""

    def __init__(self, start_manager: StartManager, apart: float) -> None:
        self._start_manager = start_manager
        self._apart = apart
        self._manager = self._start()
        self.struck: Counter[str] = Counter()

    @property
    def strikes(self) -> int:
        return self.struck.total()

    def turn(self) -> None:
        """Strike once, after a moment."""
        if self._manager.process.poll() is not None:
            self._manager = self._start()
        watch, pause_seconds = Stopwatch(), random.uniform(0, self._apart)
        wait_until(lambda: watch.seconds > pause_seconds)
        what = random.choice(["worker"] * 4 + ["manager", "SIGTERM"])
        with contextlib.suppress(IndexError, psutil.Error, ProcessLookupError):
            if what == "worker":
                os.kill(random.choice(self._manager.workers()).pid, signal.SIGKILL)
            else:
                number = signal.SIGKILL if what == "manager" else signal.SIGTERM
                self._manager.send(number)
                self._manager.process.wait(60)
            self.struck[what] += 1

    def let_live(self) -> None:
        """Leave a manager that is alive, to end what was not ended."""
        if self._manager.process.poll() is not None:
            self._manager = self._start()
        self._manager.wait_until_serving()

    def _start(self) -> Manager:
        return self._start_manager(is_waiting=False, settings=PATIENT)


@pytest.mark.postgresql
@pytest.mark.parametrize("kind", [IterateAtomically, Iterate])
def test_a_worker_that_was_left_alone_does_no_item_once_a_peer_has_its_task(
    start_manager: StartManager, book: Book, kind: type[Iterate]
) -> None:
    stopped = start_manager(**ONE, settings=SHORT_LIVES)
    task_id = kind(FOREVER, 0.01).delay().pk
    wait_until(lambda: has_begun(task_id), message=lambda: stopped.log)
    stopped.send(signal.SIGSTOP)  # Its worker goes on, and nobody hears of it.
    peer = start_manager(**ONE, settings=SHORT_LIVES)
    wait_until(lambda: Task.objects.get(pk=task_id).rescues == 1, message=lambda: peer.log)
    lease = Task.objects.get(pk=task_id).lease
    wait_until(lambda: Ledger.objects.filter(task_id=task_id, lease__gte=lease).count() > 3)
    stopped.send(signal.SIGCONT)
    stopped.stop()
    Task.objects.get(pk=task_id).cancel()
    wait_until(lambda: all_are([task_id], "cancelled"), message=lambda: peer.log)
    noted = items_of(task_id)
    if kind is IterateAtomically:
        assert sorted(noted) == list(range(len(noted)))
    assert Progress.objects.get(pk=task_id).lease == Task.objects.get(pk=task_id).lease


def test_the_last_item_is_the_last_to_be_told(start_manager: StartManager, book: Book) -> None:
    start_manager()
    ids = [
        kind(n).delay().pk
        for kind, n in itertools.product((Iterate, IterateAtomically), (0, 1, 50))
    ]
    wait_until(lambda: all_are(ids, "finished"))
    told = Progress.objects.in_bulk(ids)
    assert [told[pk].done for pk in ids] == [0, 1, 50] * 2
