"""Processes that call the same throttled and the same debounced task while a manager runs them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection

from django_partisan.models import Task
from tests.app.partisan_tasks import NoteDebounced, NoteThrottled
from tests.processes.conftest import StartManager
from tests.support.helpers import HANG_SECONDS, command_environment, wait_until
from tests.support.ledger import Book, done

pytestmark = pytest.mark.django_db(transaction=True)

CALLER = """
import sys, time, django
django.setup()
from tests.app.partisan_tasks import NoteDebounced, NoteThrottled
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    NoteDebounced("same", f"{sys.argv[1]} {number}").delay()
    NoteThrottled("same", number).delay()
    time.sleep(0.005)
"""


@pytest.mark.parametrize(
    ("callers", "calls"),
    [(3, 20), pytest.param(20, 500, marks=[pytest.mark.long, pytest.mark.timeout(600)])],
)
def test_one_task_waits_at_any_moment_and_the_last_call_runs_in_time(
    start_manager: StartManager, book: Book, callers: int, calls: int
) -> None:
    manager = start_manager()
    with _watching(NoteDebounced("").processor_name) as most:
        _call(callers, calls)
    wait_until(
        lambda: not Task.objects.exclude(status="finished").exists(), message=lambda: manager.log
    )
    assert most
    assert max(most) <= 1
    rows = Task.objects.order_by("pk")
    assert rows.filter(processor_class=NoteThrottled("").processor_name).count() == 1
    tasks = list(rows.filter(processor_class=NoteDebounced("").processor_name))
    lasts = {f"{caller} {calls - 1}" for caller in range(callers)}
    assert tasks[-1].arguments["args"][1] in lasts
    # A database may count in whole milliseconds.
    longest = timedelta(seconds=NoteDebounced.DEBOUNCE_MAX_SECONDS, milliseconds=1)
    assert all(task.execute_after - task.created_at <= longest for task in tasks)
    assert done([task.pk for task in tasks]) == dict.fromkeys([task.pk for task in tasks], 1)


def _call(callers: int, calls: int) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CALLER, str(caller), str(calls)],
            env=command_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for caller in range(callers)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("\n", timeout=5 * HANG_SECONDS)
        assert process.returncode == 0


@contextmanager
def _watching(processor_class: str) -> Iterator[list[int]]:
    """Count again and again how many tasks of a processor wait; yield the counts."""
    is_over, counts = threading.Event(), list[int]()

    def look() -> None:
        try:
            waiting = Task.objects.filter(processor_class=processor_class, status="new")
            while not is_over.wait(0.005):
                counts.append(waiting.count())
        finally:
            connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield counts
    finally:
        is_over.set()
        thread.join()
