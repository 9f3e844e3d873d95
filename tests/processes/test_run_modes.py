"""Managers that end by themselves, that begin anew with changed code, and that have a label."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from django_partisan.config.const import ExitCode
from django_partisan.models import ManagerProcess, Task
from tests.app.partisan_tasks import Note, PostponeTwice, WaitForFile
from tests.processes.conftest import StartManager
from tests.settings import ROOT
from tests.support.harness import HOARDING
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, started, statuses


def ending(*arguments: str, **options: Any) -> dict[str, Any]:
    """Return how to start a manager that ends by itself, maybe before it could be looked at."""
    return {"is_waiting": False, "arguments": arguments, **options}


@pytest.mark.parametrize("queues", [(), ("--queue_name", "*")])
def test_until_done_runs_what_is_due_and_what_comes_due_meanwhile_and_tells_what_is_left(
    start_manager: StartManager, book: Book, queues: tuple[str, ...]
) -> None:
    ids = book.enqueue(*[Note()] * 50)
    later = book.enqueue(Note(), execute_after=3600)
    book.waiting.update(later)
    manager = start_manager(**ending("--until_done", *queues))
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert all_are(ids, "finished")
    assert all_are(later, "new")
    assert "nothing is due any more" in manager.log
    assert "for later wait: tasks of 'default', the first one in 3," in manager.log
    assert not ManagerProcess.objects.exists()


def test_until_done_ends_at_once_where_nothing_is_to_be_done(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(**ending("--until-done"))
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert "nothing waits for later" in manager.log


def test_once_runs_what_is_due_and_leaves_what_comes_back(
    start_manager: StartManager, book: Book
) -> None:
    ids = book.enqueue(*[Note()] * 20)
    back = book.enqueue(PostponeTwice())
    book.waiting.update(back)
    manager = start_manager(**ending("--once"))
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert all_are(ids, "finished")
    assert all_are(back, "new")
    assert "one pass is done" in manager.log


def test_after_its_duration_an_idle_manager_ends(start_manager: StartManager) -> None:
    manager = start_manager(**ending("--duration", "0.5"))
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert "the 0.5 s of --duration are over" in manager.log


@pytest.mark.long  # So long that the slowest machine has begun to run tasks by then.
def test_after_its_duration_a_manager_ends_as_by_a_signal(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(arguments=("--duration", "20"), queue=HOARDING)
    running = book.begin(*[WaitForFile(str(gate))] * 2)
    waiting = book.enqueue(*[Note()] * 10)
    book.waiting.update(waiting)
    wait_until(lambda: "of --duration are over" in manager.log)
    wait_until(lambda: statuses(waiting) == {"new": 10})
    # The first signal after it asks for what is done already, and must not kill what runs.
    manager.send(signal.SIGTERM)
    gate.touch()
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert all_are(running, "finished")


@pytest.mark.parametrize("count", [1, 7])
def test_max_tasks_starts_exactly_so_many(
    start_manager: StartManager, book: Book, count: int
) -> None:
    ids = book.enqueue(*[Note()] * 30)
    book.waiting.update(ids)
    manager = start_manager(**ending("--max_tasks", str(count)))
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert started(ids).total() == count
    assert statuses(ids) == {"finished": count, "new": 30 - count}
    assert set(Task.objects.filter(status="new").values_list("attempts", flat=True)) == {0}
    assert "of --max_tasks have been run" in manager.log


def test_a_label_is_shown_wherever_a_manager_is(start_manager: StartManager, book: Book) -> None:
    manager = start_manager(arguments=("--label", "night shift"))
    assert ManagerProcess.objects.get().label == "night shift"
    assert manager.process.cmdline()[0] == "partisan/parent default (night shift)"
    wait_until(lambda: "(night shift) on " in manager.log)


def test_changed_code_has_a_manager_begin_anew_after_its_tasks(
    start_manager: StartManager, book: Book, gate: Path, tmp_path: Path
) -> None:
    code = watched_app(tmp_path)
    manager = start_manager(
        arguments=("--reload",),
        settings={"INSTALLED_APPS": [*settings.INSTALLED_APPS, "watched_app"]},
        environment={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )
    running = book.begin(WaitForFile(str(gate)))
    waiting = book.enqueue(Note())
    first = ManagerProcess.objects.get()
    change(code, "VALUE = ")
    wait_until(lambda: "cannot be loaded" in manager.log)
    change(code, "VALUE = 2")
    wait_until(lambda: "has changed: running tasks finish" in manager.log)
    assert statuses(running) == {"in_process": 1}
    gate.touch()
    wait_until(lambda: ManagerProcess.objects.exclude(pk=first.pk).exists())
    wait_until(lambda: all_are(running + waiting, "finished"))
    assert ManagerProcess.objects.get().pid == first.pid == manager.pid
    wait_until(lambda: manager.log.count(" serves ") == 2)
    wait_until(lambda: len(manager.workers()) == 2)
    assert manager.stop() == ExitCode.CLEAN, "it hears signals like the first one"


def watched_app(directory: Path) -> Path:
    """Make an app of a project's own; return the file of a module that it never loads."""
    app = directory / "watched_app"
    app.mkdir()
    (app / "__init__.py").touch()
    code = app / "loaded_by_workers.py"
    code.write_text("VALUE = 1")
    return code


def change(code: Path, text: str) -> None:
    """Write a file; it is seen whatever the resolution of its times."""
    later = code.stat().st_mtime + 10
    code.write_text(text)
    os.utime(code, (later, later))
