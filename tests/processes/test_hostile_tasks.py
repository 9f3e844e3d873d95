"""Whatever a task does to its process, it gets its own end and the next finds a clean worker."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import pytest
from django.db import connection

from django_partisan.models import Attempt, Task
from tests.app.partisan_tasks import Note
from tests.hostile_app.partisan_tasks import Misbehave, Tell
from tests.processes.conftest import StartManager
from tests.support.harness import Manager
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are

RESTORED = [
    "change_directory",
    "enter_a_directory_that_is_deleted",
    "change_signal_handlers",
    "block_signals",
    "leave_an_alarm",
    "change_umask",
    "limit_memory",
    "change_locale",
    "activate_a_language",
    "change_environment",
    "stop_collecting_garbage",
    "replace_streams",
    "leave_a_transaction_open",
    "close_the_connection_in_a_transaction",
    "close_the_file_of_the_connection",
    "change_the_session",
    "leave_threads",
]
FAILING = {
    "return_a_generator": ("TypeError", "whose code has not run"),
    "lower_the_recursion_limit_and_fail": ("ValueError", "with little room left"),
    "leave_a_failed_transaction_open": (None, "nonsense"),
    "exit_as_a_program_does": ("SystemExit", "as a program does"),
    "raise_keyboard_interrupt": ("KeyboardInterrupt", ""),
    "raise_generator_exit": ("GeneratorExit", ""),
    "raise_a_group": ("BaseExceptionGroup", "several (3 sub-exceptions)"),
    "raise_text_raises": ("TextRaises", "whose text raised RuntimeError"),
    "raise_text_exits": ("TextExits", "whose text raised SystemExit"),
    "raise_text_is_no_text": ("TextIsNoText", "whose text raised TypeError"),
    "raise_text_is_huge": ("TextIsHuge", "bytes left out"),
    "raise_text_is_odd": ("TextIsOdd", "odd"),
    "raise_name_raises": ("NameRaises", ""),
    "raise_in_a_circle": ("ValueError", "in a circle"),
    "raise_with_notes_that_are_none": ("ValueError", "with notes"),
    "raise_five_megabytes_in_a_thousand_frames": ("ValueError", "bytes left out"),
    "postpone_by_no_number": ("TypeError", "The outcome (postponed) holds no plain values"),
    "postpone_by_text": ("TypeError", "The outcome (postponed) holds no plain values"),
}
RETURNED = {
    "fork_a_child_that_returns": 0,
    "fork_a_child_that_fails": 1,
    "fork_a_child_that_exits": 3,
    "return_itself_in_itself": {"repr": "[{'again': [...]}]"},
    "return_what_cannot_be_printed": {"repr": "<Returned whose repr raised RuntimeError>"},
    "return_a_hundred_thousand_levels": {"repr": "<list whose repr raised RecursionError>"},
    "return_odd_text": "odd",
    "return_a_lambda": None,
    "return_an_open_file": None,
}
REPLACED = [
    "close_all_descriptors_of_a_program",
    "close_all_descriptors_and_open_files",
    "close_the_files_of_streams",
    "close_streams",
]
if os.geteuid():
    # Root may raise a limit again.
    REPLACED.append("limit_memory_for_good")


def test_what_a_task_changes_in_its_process_is_put_back_for_the_next(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    (before, *after), _ = _told_between(manager, book, RESTORED)
    for name, told in zip(RESTORED, after, strict=True):
        assert told == before, f"after {name}"
    assert all_are(book.ids, "finished")


def test_errors_of_every_kind_end_their_own_task_and_nothing_else(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    (before, *after), ids = _told_between(manager, book, list(FAILING))
    for (name, (kind, text)), told, pk in zip(FAILING.items(), after, ids, strict=True):
        attempt = Attempt.objects.get(task_id=pk)
        assert told == before, f"after {name}"
        assert attempt.error_type.endswith(kind or "Error"), name
        assert text in attempt.message, name
        assert len(attempt.message.encode()) <= 65536
        assert len(attempt.traceback.encode()) <= 65536
        # What is refused after the task's own code has no frame of it.
        is_refused = name in {"postpone_by_no_number", "return_a_generator"}
        assert is_refused or name[:5] in attempt.traceback, name
    assert all_are(ids, "error")


def test_whatever_a_task_returns_becomes_a_result(start_manager: StartManager, book: Book) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    (before, *after), ids = _told_between(manager, book, list(RETURNED))
    for (name, expected), told, pk in zip(RETURNED.items(), after, ids, strict=True):
        result = Task.objects.get(pk=pk).result
        assert told == before, f"after {name}"
        if expected is None:
            assert result is not None, name
            assert list(result) == ["repr"], name
        else:
            assert result == expected, name
    assert all_are(book.ids, "finished")
    assert "ValueError: in the child" in manager.log


def test_a_worker_that_cannot_be_put_right_is_replaced_after_its_task(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    told, ids = _told_between(manager, book, REPLACED)
    assert all_are(ids, "finished"), manager.log
    assert len({one["pid"] for one in told}) == len(told)
    for name, one in zip(REPLACED, told[1:], strict=True):
        assert {**one, "pid": 0} == {**told[0], "pid": 0}, f"after {name}"
    assert not Task.objects.exclude(rescues=0).exists()
    assert "is replaced after its last task: it closed file descriptors" in manager.log


def test_a_task_that_cuts_its_worker_off_ends_in_error_with_that_reason(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager()
    (bad,) = book.enqueue(Misbehave("close_really_all_descriptors"))
    good = book.enqueue(*[Note()] * 20)
    wait_until(lambda: all_are([bad], "error") and all_are(good, "finished"))
    message = Attempt.objects.filter(task_id=bad).latest("pk").message
    assert "Given up after 3 rescues" in message
    assert "its channel was closed" in message or "closed the worker's own file" in message
    wait_until(lambda: len(manager.workers()) == 2)


def test_a_task_that_writes_into_every_descriptor_harms_its_own_worker_at_most(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager()
    (bad,) = book.enqueue(Misbehave("write_to_all_descriptors"))
    good = book.enqueue(*[Note()] * 20)
    wait_until(lambda: all_are(good, "finished"), message=lambda: manager.log)
    wait_until(
        lambda: Task.objects.get(pk=bad).status in Task.TERMINAL_STATUSES,
        message=lambda: manager.log,
    )
    wait_until(lambda: len(manager.workers()) == 2)


@pytest.mark.postgresql
def test_a_transaction_that_django_does_not_know_of_is_rolled_back(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    book.run(Misbehave("leave_a_transaction_of_its_own_open"))
    book.run(Note())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE state LIKE 'idle in%' AND datname = current_database()"
        )
        assert cursor.fetchone() == (0,), manager.log


def test_a_worker_that_threads_live_in_ends_when_it_is_told_to(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager()
    book.run(*[Misbehave("leave_threads")] * 4)
    assert manager.stop() == 0


def _told_between(
    manager: Manager, book: Book, names: list[str]
) -> tuple[list[dict[str, Any]], list[int]]:
    """Return what the worker's state was before, between and after some deeds, and their ids."""
    ids: list[int] = []
    for deed in (Tell(), *[each for name in names for each in (Misbehave(name), Tell())]):
        # One by one: what is given back by a worker that ends may be overtaken.
        ids += book.enqueue(deed)
        wait_until(partial(_has_ended, ids[-1]), message=lambda: manager.log)
    told = [Task.objects.get(pk=pk) for pk in ids[::2]]
    assert all(task.status == "finished" for task in told), _errors(ids)
    return [task.result or {} for task in told], ids[1::2]


def _has_ended(pk: int) -> bool:
    return not Task.objects.filter(pk=pk, status__in=("new", "in_process")).exists()


def _errors(ids: list[int]) -> str:
    return "\n".join(Attempt.objects.filter(task_id__in=ids).values_list("traceback", flat=True))
