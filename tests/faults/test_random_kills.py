"""Hundreds of kills at random moments and random points, under load, in one run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from pathlib import Path

import psutil
import pytest
from django.db import connection

from tests.app.partisan_tasks import Note, Sleep, SucceedAtThird
from tests.faults.striker import Strike
from tests.processes.conftest import StartManager
from tests.support.harness import Manager, Stopwatch
from tests.support.helpers import wait_until
from tests.support.ledger import Book, done, statuses

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

KILLS = {"postgresql": 500, "sqlite": 100}[connection.vendor]
SETTINGS = {"PARTISAN_MAX_RESCUES": 1000}
QUEUE = {"WORKERS_COUNT": 4, "TASKS_PER_WORKER_INSTANCE": 200}
WAITING = 300


@pytest.mark.timeout(900)
def test_hundreds_of_random_kills_under_load_lose_nothing(
    start_manager: StartManager, book: Book, tmp_path: Path
) -> None:
    killer = Killer(start_manager, book, tmp_path)
    while killer.kills < KILLS:
        killer.turn()
    print(f"{killer.kills} kills, {len(killer.strike.struck())} of them at labelled points")
    book.faults = killer.kills
    killer.let_live()
    wait_until(lambda: set(statuses(book.ids)) == {"finished"}, seconds=90, message=killer.logs)
    book.recovered("longest time without progress between kills", killer.longest_stall, within=40)


class Killer:
    """Keeps a load going, starts dead managers again, and kills whatever lives."""

    def __init__(self, start_manager: StartManager, book: Book, directory: Path) -> None:
        self._start_manager = start_manager
        self._book = book
        self.strike = Strike(
            point="",
            action="kill",
            directory=str(directory / "strikes"),
            most=10_000,
            probability=0.001,
        )
        Path(self.strike.directory).mkdir()
        # One manager alone may serve an SQLite file.
        names = ["north", "south"] if connection.vendor == "postgresql" else ["north"]
        self._managers = {name: self._start(name) for name in names}
        self._kills = 0
        self._done = 0
        self._progress = Stopwatch()
        self.longest_stall = 0.0

    @property
    def kills(self) -> int:
        """How many processes have been killed, by this one or by themselves."""
        return self._kills + len(self.strike.struck())

    def turn(self) -> None:
        """Do everything once, and one kill."""
        self._add_load()
        for name, manager in self._managers.items():
            if manager.process.poll() is not None:
                self._managers[name] = self._start(name)
        self._kill_one()
        self._watch_progress()
        pause, watch = random.uniform(0, 0.15), Stopwatch()
        wait_until(lambda: watch.seconds > pause)

    def let_live(self) -> None:
        """Kill nothing any more, and let every manager be alive in the end."""
        Path(self.strike.directory).rename(f"{self.strike.directory}-over")
        for name, manager in list(self._managers.items()):
            if manager.process.poll() is not None:
                self._managers[name] = self._start(name)

    def logs(self) -> str:
        """Return what the last managers have written."""
        return "\n".join(manager.log[-5000:] for manager in self._managers.values())

    def _start(self, name: str) -> Manager:
        return self._start_manager(
            is_waiting=False,
            queue=QUEUE,
            settings={**SETTINGS, "PARTISAN_NODE_NAME": name},
            environment=self.strike.variables,
        )

    def _add_load(self) -> None:
        waiting = statuses(self._book.ids[-2 * WAITING :])["new"]
        if waiting < WAITING:
            self._book.enqueue(*[Note()] * 80, *[Sleep(0.02)] * 15, *[SucceedAtThird()] * 5)

    def _kill_one(self) -> None:
        manager = random.choice(list(self._managers.values()))
        victims = [manager.workers()] * 16 + [manager.launchers()] * 2 + [[manager.process]]
        with contextlib.suppress(IndexError, psutil.Error, ProcessLookupError):
            os.kill(random.choice(random.choice(victims)).pid, signal.SIGKILL)
            self._kills += 1

    def _watch_progress(self) -> None:
        count = len(done(self._book.ids[-4 * WAITING :]))
        if count != self._done:
            self._progress = Stopwatch()
        self._done = count
        self.longest_stall = max(self.longest_stall, self._progress.seconds)
