"""Real managers that serve several queues: named, all of them, in strict order; and their ends."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from django_partisan.config.const import ExitCode
from django_partisan.models import ManagerProcess, Task
from tests.app.partisan_tasks import Note, WaitForFile
from tests.processes.conftest import StartManager
from tests.support.harness import HOARDING, kill, run_command
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, started, statuses

NAMES = [f"queue-{number}" for number in range(20)]


def serving(*names: str, **more: Any) -> dict[str, Any]:
    """Return how to start a manager of these queues, each of which claims ahead."""
    known = dict.fromkeys((*names, *more.pop("known", ())), HOARDING)
    arguments = [word for name in names for word in ("--queue_name", name)]
    settings = {"PARTISAN_CONFIG": known, **more}
    return {
        "arguments": ("--workers_count", "2", *arguments),
        "settings": settings,
    }


def test_twenty_queues_in_one_manager_are_all_served(
    start_manager: StartManager, book: Book
) -> None:
    ids = [pk for name in NAMES for pk in book.enqueue(*[Note()] * 5, queue=name)]
    manager = start_manager(**serving(*NAMES))
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    assert ManagerProcess.objects.get().queues == NAMES
    assert (
        manager.process.cmdline()[0]
        == "partisan/parent queue-0,queue-1,queue-2,queue-3,queue-4,+15"
    )
    ids = [pk for name in NAMES for pk in book.enqueue(Note(), queue=name)]
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)


def test_sigterm_gives_back_what_has_not_started_in_each_queue(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(**serving("mail", "reports"))
    running = book.begin(*[WaitForFile(str(gate))] * 2, queue="mail")
    waiting = [pk for name in ("mail", "reports") for pk in book.enqueue(*[Note()] * 9, queue=name)]
    wait_until(lambda: statuses(waiting) == {"in_process": 18}, message=lambda: manager.log)
    book.waiting.update(waiting)
    manager.send(signal.SIGTERM)
    wait_until(lambda: statuses(waiting) == {"new": 18}, message=lambda: manager.log)
    gate.touch()
    assert manager.wait_for_exit() == ExitCode.CLEAN
    assert all_are(running, "finished")
    assert set(Task.objects.filter(pk__in=waiting).values_list("attempts", "rescues")) == {(0, 0)}


def test_nothing_is_lost_with_a_killed_manager_whatever_its_successor_serves(
    start_manager: StartManager, book: Book, gate: Path
) -> None:
    manager = start_manager(**serving("mail", "reports"))
    running = book.begin(*[WaitForFile(str(gate))] * 2, queue="mail")
    others = book.enqueue(*[Note()] * 9, queue="reports")
    wait_until(lambda: statuses(others) == {"in_process": 9}, message=lambda: manager.log)
    kill(manager.pid)
    gate.touch()
    successor = start_manager(**serving("mail", known=["reports"]))
    wait_until(lambda: all_are(running, "finished"))
    wait_until(lambda: statuses(others) == {"new": 9})
    successor.stop()
    start_manager(**serving("*", known=["mail", "reports"]))
    wait_until(lambda: all_are(others, "finished"))


def test_a_queue_that_comes_into_being_is_found_by_a_manager_of_all(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(**serving("*"))
    ids = book.enqueue(*[Note()] * 3, queue="born")
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    wait_until(lambda: "born" in ManagerProcess.objects.get().queues)
    wait_until(lambda: "it serves from now on as well: 'born'" in manager.log)


def test_an_excluded_queue_is_left_alone(start_manager: StartManager, book: Book) -> None:
    options = serving("*", known=["mail", "reports"])
    options["arguments"] += ("--exclude-queue", "mail")
    kept = book.enqueue(Note(), queue="mail")
    book.waiting.update(kept)
    ids = book.enqueue(Note(), queue="reports")
    manager = start_manager(**options)
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    assert all_are(kept, "new")
    assert "serves all queues except 'mail'" in manager.log


def test_in_strict_order_a_queue_waits_for_those_before_it(
    start_manager: StartManager, book: Book
) -> None:
    later = book.enqueue(*[Note()] * 20, queue="reports")
    first = book.enqueue(*[Note()] * 20, queue="mail")
    options = serving("mail", "reports")
    options["arguments"] = (*options["arguments"], "--strict_order", "--workers_count", "1")
    start_manager(queue={"WORKERS_COUNT": 1}, **options)
    wait_until(lambda: all_are(later, "finished"))
    ends = (
        Task.objects.filter(pk__in=first + later)
        .order_by("started_at")
        .values_list("pk", flat=True)
    )
    assert set(ends[:20]) == set(first)
    assert sum(started(first).values()) == 20


def test_a_choice_that_cannot_be_is_refused_at_the_start(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"PARTISAN_CONFIG": {"default": {}, "mail": {}}}
    arguments = ("--queue_name", "mail", "--exclude_queue", "mail")
    code, output = run_command(tmp_path, arguments=arguments, settings=settings)
    assert code == ExitCode.CONFIGURATION
    assert "leave one of the two out" in output


def test_a_weight_of_nothing_is_refused_at_the_start(tmp_path: Path) -> None:
    settings = {"PARTISAN_CONFIG": {"default": {}, "mail": {"WEIGHT": 0}}}
    code, output = run_command(tmp_path, settings=settings)
    assert code == ExitCode.CONFIGURATION
    assert "PARTISAN_CONFIG['mail']['WEIGHT']: must be greater than 0, got 0" in output
