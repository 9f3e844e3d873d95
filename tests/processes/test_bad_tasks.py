"""Tasks that kill their worker or cannot be run or stored: rows 13 and 19 of the faults."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from django.db import connection

from django_partisan import lifecycle
from django_partisan.models import Attempt, Task
from tests.app.models import Ledger
from tests.app.partisan_tasks import (
    CloseConnection,
    EndConnection,
    Exit,
    Fail,
    FailWithUnstorableText,
    LeaveSystemExit,
    LeaveTransactionOpen,
    Note,
    OutOfMemory,
    Recurse,
    RecurseInC,
    ReturnMuch,
    ReturnObject,
    ReturnUnstorableText,
    Segfault,
    Signal,
)
from tests.processes.conftest import StartManager
from tests.settings import INSTALLED_APPS
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, started

POISON = [
    (Exit(7), "exited with code 7"),
    (Exit(0), "exited with code 0"),
    (Segfault(), "was killed by SIGSEGV"),
    (Signal(signal.SIGKILL), "was killed by SIGKILL"),
    (Signal(signal.SIGABRT), "was killed by SIGABRT"),
    (Signal(signal.SIGBUS), "was killed by SIGBUS"),
]


def test_poison_ends_in_error_with_the_reason_while_others_progress(
    start_manager: StartManager, book: Book
) -> None:
    poison = book.enqueue(*[processor for processor, _ in POISON])
    others = book.enqueue(*[Note()] * 50)
    manager = start_manager()
    wait_until(lambda: all_are(others, "finished"), message=lambda: manager.log)
    wait_until(lambda: all_are(poison, "error"), message=lambda: manager.log)
    assert set(started(poison).values()) == {4}, "the first start and three more"
    tasks = Task.objects.filter(pk__in=poison).order_by("pk")
    for task, (_, reason) in zip(tasks, POISON, strict=True):
        attempts = list(task.attempt_set.values_list("outcome", "number", "error_type"))
        rescues = [("rescued", number, "WorkerDied") for number in (1, 2, 3)]
        assert attempts == [*rescues, ("failed", 4, "WorkerDied")]
        message = task.attempt_set.latest("pk").message
        assert message.startswith("Given up after 3 rescues: worker ")
        assert reason in message
    assert set(Task.objects.filter(pk__in=others).values_list("rescues", "attempts")) == {(0, 1)}
    assert "workers died within a minute" in manager.log, "and are replaced slowly"
    wait_until(lambda: len(manager.workers()) == 2)


def test_recursion_that_nothing_stops_ends_in_error(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager()
    (bad,) = book.enqueue(RecurseInC())
    others = book.enqueue(*[Note()] * 20)
    wait_until(lambda: all_are(others, "finished"), message=lambda: manager.log)
    wait_until(lambda: all_are([bad], "error"), message=lambda: manager.log)
    message = Attempt.objects.filter(task_id=bad).latest("pk").message
    # Newer versions of Python count such calls.
    assert "was killed by SIGSEGV" in message or "recursion" in message
    wait_until(lambda: len(manager.workers()) == 2)


def test_errors_that_end_other_programs_end_their_own_task_alone(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    bad = book.enqueue(Recurse(), OutOfMemory(), LeaveSystemExit())
    (good,) = book.enqueue(Note())
    wait_until(lambda: all_are(bad, "error") and all_are([good], "finished"))
    told = Attempt.objects.order_by("task_id").values_list("error_type", flat=True)
    assert list(told) == ["RecursionError", "MemoryError", "SystemExit"]
    assert set(Ledger.objects.values_list("pid", flat=True)) == {manager.workers()[0].pid}


def test_what_cannot_be_stored_ends_its_own_task_alone_and_is_capped(
    start_manager: StartManager, book: Book
) -> None:
    failing = book.enqueue(
        Fail("five megabytes", 5), FailWithUnstorableText(), Fail("\N{SNOWMAN}" * 80_000)
    )
    returning = book.enqueue(ReturnObject(), ReturnMuch(5), ReturnUnstorableText(), *[Note()] * 20)
    manager = start_manager()
    wait_until(lambda: all_are(failing, "error"), message=lambda: manager.log)
    wait_until(
        lambda: not Task.objects.filter(status__in=("new", "in_process")).exists(),
        message=lambda: manager.log,
    )
    for attempt in Attempt.objects.all():
        assert len(attempt.message.encode()) <= 65536
        assert len(attempt.traceback.encode()) <= 65536
    for task in Task.objects.filter(pk__in=returning):
        assert task.status in ("finished", "error")
        assert len(str(task.result)) <= 262144
    assert all_are(returning[3:], "finished")
    assert len(manager.workers()) == 2


def test_a_task_that_cannot_be_run_at_all_says_so_and_can_be_requeued(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager()
    gone = _store("tests.late_app.partisan_tasks.Late", {"args": [], "kwargs": {}})
    odd = [_store("tests.app.partisan_tasks.Note", arguments) for arguments in ODD_ARGUMENTS]
    book.ids += [gone, *odd]
    good = book.enqueue(*[Note()] * 5)
    wait_until(lambda: all_are([gone], "error") and all_are(good, "finished"))
    wait_until(lambda: all_are(odd, "error"), message=lambda: manager.log)
    attempt = Attempt.objects.get(task_id=gone)
    assert attempt.error_type.endswith("ProcessorClassNotFound")
    assert "tests.late_app.partisan_tasks.Late cannot be found" in attempt.message
    assert "ALIASES" in attempt.message

    assert manager.stop() == 0
    start_manager(settings={"INSTALLED_APPS": [*INSTALLED_APPS, "tests.late_app"]})
    assert lifecycle.requeue([gone]) == [gone]
    wait_until(lambda: all_are([gone], "finished"))
    assert started([gone]) == {gone: 1}
    assert Task.objects.get(pk=gone).attempts == 1


def test_what_a_task_leaves_in_its_connection_does_not_reach_the_next(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    ids = book.enqueue(
        LeaveTransactionOpen(), Note(), CloseConnection(), Note(), CloseConnection(), Note()
    )
    wait_until(lambda: all_are(ids, "finished"), message=lambda: manager.log)
    notes = Ledger.objects.filter(task_id=ids[0]).values_list("note", flat=True)
    assert list(notes) == ["started", "kept"], "what was not committed is rolled back"
    assert len(set(Ledger.objects.values_list("pid", flat=True))) == 1


@pytest.mark.postgresql
def test_a_connection_that_the_server_has_ended_does_not_reach_the_next_task(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 1})
    first = book.enqueue(Note(), EndConnection(), Note(), EndConnection(), Note())
    wait_until(lambda: all_are(first, "finished"), message=lambda: manager.log)
    _end_connections_of_others()
    book.run(Note())


def test_arguments_that_nobody_could_have_enqueued_end_their_own_task_alone(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager()
    deep = _store_text('{"args": ' + "[" * 900 + "]" * 900 + ', "kwargs": {}}')
    huge = [_store_text('{"args": ["%s"], "kwargs": {}}' % ("x" * (20 << 20))) for _ in range(3)]
    book.ids += [deep, *huge]
    good = book.enqueue(*[Note()] * 20)
    wait_until(lambda: all_are(good, "finished"), message=lambda: manager.log)
    wait_until(lambda: all_are([deep, *huge], "finished"), message=lambda: manager.log)


ODD_ARGUMENTS: list[Any] = [
    {"args": [1], "kwargs": {"unknown": 1}},
    {"args": "text", "kwargs": {}},
    {"args": [], "kwargs": [1, 2]},
    [1, 2, 3],
    "text",
    7,
]


def _store(processor_class: str, arguments: Any) -> int:
    return Task.objects.create(processor_class=processor_class, arguments=arguments).pk


def _store_text(arguments: str) -> int:
    """Store arguments as they are, past everything that looks at them."""
    task = Task.objects.create(processor_class="tests.app.partisan_tasks.Note", priority=100)
    text = "%s::jsonb" if connection.vendor == "postgresql" else "%s"
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE django_partisan_task SET arguments = {text} WHERE id = %s",
            [arguments, task.pk],
        )
    return task.pk


def _end_connections_of_others() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
