"""A real manager under a mixed load for minutes: no task is lost or doubled, and nothing grows.

Its workers are replaced often and killed once a minute, and its tasks are pruned soon.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from django.conf import settings

from django_partisan.models import Task
from tests.processes.conftest import StartManager
from tests.soak import ends
from tests.soak.load import RATE, SECONDS, Load
from tests.soak.watch import RULES, Watch, verdicts
from tests.support.harness import Manager
from tests.support.helpers import wait_until
from tests.support.ledger import Book
from tools.ledger import Broken, Runs

TICK_SECONDS = 0.1
DRAIN_SECONDS = 60
SAMPLE_SECONDS = max(1.0, SECONDS / 600)
KILL_SECONDS = min(60.0, SECONDS / 3)
QUEUE = {
    "TASKS_PER_WORKER_INSTANCE": 2_000,
    "WORKER_MAX_MEMORY_MB": 150,
    "KEEP_FINISHED_SECONDS": 20,
    "KEEP_FAILED_SECONDS": 40,
    "SLEEP_DELAY_SECONDS": 2,
}
SETTINGS = {
    "INSTALLED_APPS": [*settings.INSTALLED_APPS, "tests.soak.app"],
    # The defaults in place of the harness's short clocks.
    "PARTISAN_HEARTBEAT_SECONDS": 5,
    "PARTISAN_DEAD_AFTER_SECONDS": 30,
    "PARTISAN_RESCUE_INTERVAL_SECONDS": 10,
    "PARTISAN_SHUTDOWN_GRACE_SECONDS": 30,
}
_FORM = "{:34}{:>14}{:>14}  {:26}{}"
pytestmark = [pytest.mark.soak, pytest.mark.postgresql]


@pytest.mark.timeout(SECONDS + 300)
def test_nothing_is_lost_and_nothing_grows(
    book: Book, start_manager: StartManager, capsys: pytest.CaptureFixture[str]
) -> None:
    load = Load()
    with ends.noting_ends(), Runs.create(load.most) as runs:
        manager = start_manager(queue=QUEUE, settings=SETTINGS, arguments=("-v1",))
        watch = Watch()
        with contextlib.suppress(KeyboardInterrupt), capsys.disabled():
            soak(manager, load, watch, book)
        load.stop_what_runs(float("inf"))
        unended = Task.objects.exclude(status__in=Task.TERMINAL_STATUSES)
        with contextlib.suppress(AssertionError):  # the ledger tells what has not ended
            wait_until(lambda: not unended.exists(), seconds=DRAIN_SECONDS, interval=0.1)
        assert manager.stop() == 0
        statuses, problems = ends.problems(runs, load.enqueued)
    kinds = Counter(problem.kind for problem in problems)
    told = ", ".join(f"{kinds[kind]} {kind.value}" for kind in Broken)
    with capsys.disabled():
        print("\n".join(["", *table(watch), *summary(watch, load, statuses, book), told]))
    assert not problems, "\n".join(problem.text for problem in problems[:10])
    assert watch.is_short or all(verdict.is_flat for verdict in verdicts(watch.samples))


def soak(manager: Manager, load: Load, watch: Watch, book: Book) -> None:
    """Enqueue, sample and kill until the time is up."""
    sample_at = line_at = 0.0
    kill_at, book.faults = KILL_SECONDS, 0
    while watch.seconds < SECONDS:
        assert manager.process.poll() is None, manager.log[-2_000:]
        load.keep_up(watch.seconds)
        if watch.seconds >= sample_at:
            sample_at += SAMPLE_SECONDS
            sample = watch.take([manager.process, *manager.process.children(recursive=True)])
            if watch.seconds >= line_at:
                line_at += 60
                left = ", ".join(f"{name} {value:,.0f}" for name, value in sample.items())
                print(f"\n{(SECONDS - watch.seconds) / 60:.1f} min left: {left}", flush=True)
        if watch.seconds >= kill_at:
            kill_at += KILL_SECONDS
            with contextlib.suppress(psutil.Error, IndexError):
                random.choice(manager.workers()).kill()
                book.faults += 1
        time.sleep(TICK_SECONDS)  # the beat of the load


def table(watch: Watch) -> Iterator[str]:
    """Yield the lines of the result: what each series was and is."""
    header = ("series", "second quarter", "last quarter", "held to", "verdict")
    yield _FORM.format(*header)
    for verdict in verdicts(watch.samples):
        outcome = "flat" if verdict.is_flat else "GREW"
        series, before, after = verdict
        numbers = (f"{before:,.1f}", f"{after:,.1f}", RULES[series].words)
        yield _FORM.format(series, *numbers, "too short to tell" if watch.is_short else outcome)


def summary(watch: Watch, load: Load, statuses: Counter[str], book: Book) -> Iterator[str]:
    ended = ", ".join(f"{count:,} {status}" for status, count in statuses.items())
    minutes = watch.samples[-1][0] / 60
    yield f"{minutes:.1f} minutes, {RATE:g} tasks a second; {load.enqueued:,} tasks: {ended}"
    yield (
        f"{len(watch.workers):,} workers, one after the other; {book.faults} of them killed from "
        f"outside; {watch.vacuums} rounds of autovacuum"
    )
