"""Which statements leave a mark on their session."""

from typing import Any

import pytest
from django.db import connections

from django_partisan.sessions import _watch, changed_sessions, changes_session


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


def test_a_connection_that_is_opened_inside_of_a_wrapper_keeps_that_wrapper_in_order() -> None:
    def wrapper(execute: Any, *arguments: Any) -> Any:
        return execute(*arguments)

    before = list(connections["default"].execute_wrappers)
    try:
        with connections["default"].execute_wrapper(wrapper):
            _watch(connection=connections["default"])
            _watch(connection=connections["default"])
        assert len(connections["default"].execute_wrappers) == len(before) + 1
        assert wrapper not in connections["default"].execute_wrappers
    finally:
        connections["default"].execute_wrappers[:] = before


def test_a_changed_session_is_named_once() -> None:
    before = list(connections["default"].execute_wrappers)
    try:
        _watch(connection=connections["default"])
        note = connections["default"].execute_wrappers[0]
        for sql in ("SELECT 1", "SET x = 1", "SET x = 2"):
            note(lambda *_: None, sql, None, False, {"connection": connections["default"]})
    finally:
        connections["default"].execute_wrappers[:] = before
    assert changed_sessions() == {connections["default"]}
    assert changed_sessions() == set()
