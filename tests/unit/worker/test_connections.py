"""Which statements leave a mark on their session."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.worker.connections import _take_changed, _watch, changes_session


@pytest.mark.parametrize(
    "sql",
    [
        "SET statement_timeout = 0",
        "  set session time zone 'UTC'",
        "\nSET search_path TO tenant",
        "SET ROLE reader",
        "RESET ALL",
        "LISTEN news",
        "PREPARE plan AS SELECT 1",
        "CREATE TEMP TABLE t (a int)",
        "create local temporary table t (a int)",
        "PRAGMA foreign_keys = OFF",
        "ATTACH DATABASE 'x' AS y",
        "SELECT set_config('app.user', '7', false)",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1)",
    ],
)
def test_a_statement_that_changes_its_session_is_noticed(sql: str) -> None:
    assert changes_session(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SET LOCAL statement_timeout = 0",
        "set local role reader",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "SET TRANSACTION READ ONLY",
        "UPDATE t SET a = 1",
        "INSERT INTO settings VALUES ('SET x')",
        "SELECT pg_advisory_xact_lock(1)",
        "CREATE TABLE t (a int)",
        "SELECT * FROM preparations",
        b"SET x = 1",
        None,
    ],
)
def test_any_other_statement_is_not(sql: object) -> None:
    assert not changes_session(sql)


@pytest.fixture
def default() -> Iterator[BaseDatabaseWrapper]:
    """Return the default connection, whose wrappers are put back."""
    connection = connections["default"]
    before = list(connection.execute_wrappers)
    yield connection
    connection.execute_wrappers[:] = before
    _take_changed()


def run(connection: BaseDatabaseWrapper, *statements: str) -> None:
    """Have the watched connection run statements which the database never sees."""
    note = connection.execute_wrappers[0]
    for sql in statements:
        note(lambda *_: None, sql, None, False, {"connection": connection})


def test_a_connection_that_is_opened_inside_of_a_wrapper_keeps_that_wrapper_in_order(
    default: BaseDatabaseWrapper,
) -> None:
    def wrapper(execute: Any, *arguments: Any) -> Any:
        return execute(*arguments)

    count = len(default.execute_wrappers)
    with default.execute_wrapper(wrapper):
        _watch(connection=default)
        _watch(connection=default)
    assert len(default.execute_wrappers) == count + 1
    assert wrapper not in default.execute_wrappers


def test_a_changed_session_is_named_once(default: BaseDatabaseWrapper) -> None:
    _watch(connection=default)
    run(default, "SELECT 1", "SET x = 1", "SET x = 2")
    assert _take_changed() == {default}
    assert _take_changed() == set()


def test_a_session_that_took_the_place_of_a_changed_one_is_fresh(
    default: BaseDatabaseWrapper,
) -> None:
    _watch(connection=default)
    run(default, "SET x = 1")
    _watch(connection=default)
    assert _take_changed() == set()
