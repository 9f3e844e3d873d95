"""Whatever a task does to a database session, the next task begins as on a fresh one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from django_partisan.models import Attempt, Task
from tests.app.models import Ledger
from tests.app.partisan_tasks import Note
from tests.hostile_app import sessions
from tests.hostile_app.partisan_tasks import (
    Echo,
    Idle,
    Misbehave,
    MisbehaveOnceMore,
    TellOfSession,
    TurnAutocommitOff,
    WriteInAnotherThread,
    WriteInAnotherThreadAtomically,
    WriteInThisThreadAtomically,
)
from tests.processes.conftest import StartManager
from tests.settings import INSTALLED_APPS
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are

ONE_WORKER = {"WORKERS_COUNT": 1}


@pytest.mark.postgresql
def test_a_session_is_as_good_as_new_after_whatever_was_done_to_it(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue=ONE_WORKER)
    before, *after = _told_around(book, [Misbehave(name) for name in sessions.CLEARED])
    for name, told in zip(sessions.CLEARED, after, strict=True):
        assert told == before, f"after {name}"


@pytest.mark.postgresql
def test_a_session_that_cannot_be_made_fresh_is_replaced(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue=ONE_WORKER)
    told = _told_around(book, [Misbehave(name) for name in sessions.ENDED])
    _assert_replaced(told, sessions.ENDED)


@pytest.mark.postgresql
def test_a_session_is_replaced_when_its_autocommit_was_turned_off_without_a_statement(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue=ONE_WORKER)
    _assert_replaced(_told_around(book, [TurnAutocommitOff()]), ["autocommit off"])


@pytest.mark.sqlite
def test_a_connection_to_sqlite_is_replaced_when_something_was_done_to_it(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue=ONE_WORKER)
    before, *after = _told_around(book, [Misbehave(name) for name in sessions.ENDED_ON_SQLITE])
    for name, told in zip(sessions.ENDED_ON_SQLITE, after, strict=True):
        assert {**told, "session": 0} == {**before, "session": 0}, f"after {name}"


@pytest.mark.postgresql
def test_a_processor_may_ask_for_a_fresh_session_always(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue=ONE_WORKER)
    told = _told_around(book, [MisbehaveOnceMore("make_no_sense")] * 2)
    _assert_replaced(told, ["FRESH_SESSION"] * 2)


@pytest.mark.postgresql
def test_a_task_that_uses_no_database_leaves_the_session_alone(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue=ONE_WORKER)
    [before] = _told_around(book, [])
    at = "SELECT state_change FROM pg_stat_activity WHERE pid = %s"
    [then] = _row(at, before["session"])
    book.run(*[Idle()] * 5)
    assert _row(at, before["session"]) == (then,)


@pytest.mark.postgresql
def test_what_django_sets_at_the_begin_of_a_session_is_set_again(
    start_manager: StartManager, book: Book
) -> None:
    with _role("partisan_tests_role") as role:
        start_manager(
            queue=ONE_WORKER, settings=_database({"assume_role": role}, TIME_ZONE="Asia/Tokyo")
        )
        deeds = ["take_a_role", "change_the_time_zone", "set_a_limit", "name_a_tenant"]
        for told in _told_around(book, [Misbehave(name) for name in deeds]):
            assert (told["user"], told["zone"], told["settings"]) == (role, "Asia/Tokyo", [])


@pytest.mark.postgresql
def test_one_statement_makes_a_session_fresh_whatever_its_time_zone(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(
        queue=ONE_WORKER,
        settings=_database({"options": "-c work_mem=4321"}, TIME_ZONE="Asia/Tokyo"),
    )
    told = _told_around(
        book, [Misbehave("change_the_time_zone"), Misbehave("forget_the_time_zone")]
    )
    assert [each["zone"] for each in told] == ["Asia/Tokyo"] * 3
    assert told[0] == told[1] == told[2], "the same session"
    last = "SELECT query FROM pg_stat_activity WHERE pid = %s"
    assert _row(last, told[0]["session"]) == ("DISCARD ALL",)


@pytest.mark.postgresql
def test_what_a_project_sets_on_new_connections_is_there_for_every_task(
    start_manager: StartManager, book: Book
) -> None:
    apps = [*INSTALLED_APPS, "tests.asking_app.apps.SettingAppConfig"]
    start_manager(queue=ONE_WORKER, settings={"INSTALLED_APPS": apps})
    told = _told_around(book, [Misbehave(name) for name in sessions.CLEARED[:3]])
    assert [each["settings"] for each in told] == [[["statement_timeout", "43210"]]] * 4


@pytest.mark.postgresql
def test_a_pool_does_not_reach_workers(start_manager: StartManager, book: Book) -> None:
    pytest.importorskip("psycopg")
    pytest.importorskip("psycopg_pool")
    apps = [*INSTALLED_APPS, "tests.asking_app.apps.AskingAppConfig"]
    manager = start_manager(
        queue={"WORKERS_COUNT": 4},
        settings={"INSTALLED_APPS": apps, **_database({"pool": True})},
    )
    results = _results(book.enqueue(*[Echo(number) for number in range(40)]))
    assert results == list(range(40)), manager.log
    told = _told_around(book, [Misbehave(name) for name in (*sessions.CLEARED, "name_a_tenant")])
    assert all({**each, "session": 0} == {**told[0], "session": 0} for each in told)


@pytest.mark.postgresql
def test_a_session_that_began_on_a_standby_is_replaced_after_the_first_error(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue=ONE_WORKER)
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    sessions.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        [failing] = book.enqueue(Note())
        wait_until(lambda: all_are([failing], "error"))
    finally:
        sessions.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    book.run(*[Note()] * 3)


@pytest.mark.postgresql
def test_a_connection_lives_as_long_as_its_maximal_age_allows(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue=ONE_WORKER, settings=_database({}, CONN_MAX_AGE=1))
    [first] = _results(book.enqueue(TellOfSession()))
    wait_until(
        lambda: _results(book.enqueue(TellOfSession()))[0]["session"] != first["session"],
        interval=0.2,
    )


@pytest.mark.postgresql
def test_connections_of_other_threads_survive_a_server_that_ended_them(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue=ONE_WORKER)
    for _ in range(3):
        book.run(WriteInAnotherThread(), Note())
        assert _end_all_others() >= 2
    assert Ledger.objects.filter(note="beside").count() == 3


@pytest.mark.postgresql
def test_a_session_of_another_thread_is_made_fresh_as_well(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue=ONE_WORKER)
    before, *after = _told_around(
        book, [Misbehave("in_another_thread_set_a_limit")], teller="tell_in_another_thread"
    )
    assert after == [before]


def test_an_atomic_task_cannot_write_beside_its_transaction(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue=ONE_WORKER)
    [beside] = book.enqueue(WriteInAnotherThreadAtomically())
    wait_until(lambda: all_are([beside], "error"), message=lambda: manager.log)
    attempt = Attempt.objects.get(task_id=beside)
    assert attempt.error_type == "django_partisan.exceptions.AtomicityLost"
    assert "on a connection of its own" in attempt.message
    assert not Ledger.objects.exists()
    book.run(WriteInThisThreadAtomically())
    assert Ledger.objects.get().note == "beside"
    book.run(WriteInAnotherThread())


def _told_around(book: Book, tasks: list[Any], teller: str = "") -> list[dict[str, Any]]:
    """Run tasks in turn; return what is told before the first, and what after each of them."""
    tell: Any = Misbehave(teller) if teller else TellOfSession()
    # The first session of a worker ends with its first task where the server's zone is another one.
    ids = book.enqueue(tell, tell, *(each for task in tasks for each in (task, tell)))
    results = _results(ids)
    return results[1::2]


def _results(ids: list[int]) -> list[Any]:
    wait_until(
        lambda: all_are(ids, "finished"),
        message=lambda: str(list(Attempt.objects.values_list("message", flat=True))),
    )
    tasks = Task.objects.in_bulk(ids)
    return [tasks[each].result for each in ids]


def _assert_replaced(told: list[dict[str, Any]], names: list[str]) -> None:
    for name, before, after in zip(names, told, told[1:], strict=False):
        assert {**after, "session": 0} == {**before, "session": 0}, f"after {name}"
        if name != "call_a_function":  # not every driver can
            assert after["session"] != before["session"], f"after {name}"


def _database(options: dict[str, Any], **entries: Any) -> dict[str, Any]:
    entry = connection.settings_dict
    keys = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    known = {key: entry[key] for key in keys}
    return {
        "DATABASES": {"default": {**known, "OPTIONS": {**entry["OPTIONS"], **options}, **entries}}
    }


@contextlib.contextmanager
def _role(name: str) -> Iterator[str]:
    sessions.execute(f"DROP ROLE IF EXISTS {name}")
    sessions.execute(f"CREATE ROLE {name} SUPERUSER")
    try:
        yield name
    finally:
        sessions.execute(f"DROP ROLE {name}")


def _end_all_others() -> int:
    sql = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return int(_row(sql)[0])


def _row(sql: str, *parameters: Any) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        row: tuple[Any, ...] = cursor.fetchone()
        return row
