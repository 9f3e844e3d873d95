"""Deeds that leave something in a database session, and what the next task finds of them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.db import Error, connection, connections

from tests.hostile_app.deeds import deed

CLEARED: list[str] = []
"""Deeds on PostgreSQL after which the same session goes on, as good as new."""
ENDED: list[str] = []
"""Deeds on PostgreSQL after which only another session will do."""
ENDED_ON_SQLITE: list[str] = []

Deed = Callable[[], Any]


def _listed_in(names: list[str]) -> Callable[[Deed], Deed]:
    def listed(do: Deed) -> Deed:
        names.append(do.__name__)
        return deed(do)

    return listed


def _said(names: list[str], **statements: str) -> None:
    """Make a deed of each statement, which goes through Django's cursor."""
    for name, sql in statements.items():

        def say(sql: str = sql) -> None:
            execute(sql)

        say.__name__ = name
        _listed_in(names)(say)


def execute(sql: Any, params: Any = None) -> None:
    """Run a statement through a cursor of Django's."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


_said(
    CLEARED,
    set_a_limit="/* c */ SET statement_timeout = '54321'",
    set_a_limit_as_a_second_statement="SELECT 1; SET lock_timeout = '54321'",
    configure="SELECT set_config('work_mem', '12345', false)",
    change_the_settings_view="UPDATE pg_settings SET setting = '54321' WHERE name = 'lock_timeout'",
    be_read_only="SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    change_the_time_zone="SET TIME ZONE 'Asia/Tokyo'",
    forget_the_time_zone="RESET TIME ZONE",
    change_the_search_path="SET search_path TO pg_catalog",
    take_a_role="SET ROLE pg_monitor",
    make_a_temporary_table="CREATE TEMP TABLE left_behind AS SELECT 1 AS one",
    make_a_temporary_view="CREATE TEMP VIEW left_view AS SELECT 1 AS one",
    make_a_temporary_function="CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    lock_by_number="SELECT pg_advisory_lock(4711)",
    lock_by_number_and_share="SELECT pg_try_advisory_lock_shared(4712)",
    prepare="PREPARE left_plan AS SELECT 1",
    listen="LISTEN left_channel",
    hold_a_cursor="DECLARE left_cursor CURSOR WITH HOLD FOR SELECT 1",
    draw_from_a_sequence="CREATE TEMP SEQUENCE left_sequence; SELECT nextval('left_sequence')",
)
_said(
    ENDED,
    seed="SELECT setseed(0.5)",
    load="LOAD 'plpgsql'",
    name_a_tenant="SET my.tenant = '7'",
    name_a_tenant_after_a_comment="-- for the tenant\nSET my.tenant = '7'",
    name_a_tenant_as_a_second_statement="SELECT 1; SELECT set_config('my.tenant', '7', false)",
    name_a_tenant_in_code="DO $$ BEGIN PERFORM set_config('my.tenant', '7', false); END $$",
    name_a_tenant_for_a_transaction="SELECT set_config('my.tenant', '7', true)",
)


@_listed_in(ENDED)
def name_a_tenant_by_parameters() -> None:
    execute("SELECT set_config(%s, %s, false)", ["my.tenant", "7"])


@_listed_in(ENDED)
def name_a_tenant_by_a_composed_statement() -> None:
    sql = _sql()
    execute(sql.SQL("SET {} = {}").format(sql.Identifier("my", "tenant"), sql.Literal("7")))


@_listed_in(ENDED)
def call_a_function() -> None:
    if hasattr(_driver_s_cursor(), "callproc"):
        with connection.cursor() as cursor:
            cursor.callproc("setseed", [0.5])


@_listed_in(ENDED)
def pass_by_django_s_cursor() -> None:
    with connection.cursor() as cursor:
        cursor.cursor.execute("SET my.tenant = '7'")


@_listed_in(ENDED)
def pass_by_the_cursor_s_connection() -> None:
    with connection.cursor() as cursor, cursor.connection.cursor() as raw:
        raw.execute("SET my.tenant = '7'")


@_listed_in(ENDED)
def pass_by_the_connection() -> None:
    connection.ensure_connection()
    with connection.connection.cursor() as raw:
        raw.execute("SET my.tenant = '7'")


@_listed_in(ENDED)
def copy_what_has_an_effect() -> None:
    with connection.cursor() as cursor:
        if hasattr(cursor, "copy"):
            with cursor.copy("COPY (SELECT setseed(0.5)) TO STDOUT") as copy:
                list(copy)
        else:
            with open("/dev/null", "w") as file:  # noqa: PTH123
                cursor.copy_expert("COPY (SELECT setseed(0.5)) TO STDOUT", file)


@_listed_in(ENDED)
def change_the_isolation() -> None:
    connection.ensure_connection()
    connection.connection.isolation_level = 4


@_listed_in(ENDED)
def give_up_in_the_middle_of_a_transaction() -> None:
    execute("BEGIN")


@_listed_in(ENDED)
def run_out_of_time() -> None:
    execute("SET statement_timeout = 1")
    with contextlib.suppress(Error):
        execute("SELECT pg_sleep(60)")


@_listed_in(CLEARED)
def make_no_sense() -> None:
    with contextlib.suppress(Error):
        execute("SELECT nonsense")


@_listed_in(CLEARED)
def leave_a_wrapper() -> None:
    connection.execute_wrapper(_refusing).__enter__()


@_listed_in(CLEARED)
def count_queries() -> None:
    connection.force_debug_cursor = True
    execute("SELECT 1")


_said(
    ENDED_ON_SQLITE,
    set_a_pragma="/* c */ PRAGMA cache_size = 1234",
    attach="ATTACH ':memory:' AS left_behind",
    make_a_temporary_table_on_sqlite="CREATE TEMP TABLE left_behind (a)",
)


@_listed_in(ENDED_ON_SQLITE)
def make_a_function() -> None:
    connection.ensure_connection()
    connection.connection.create_function("left_function", 0, lambda: 1)


def _refusing(*_: Any) -> Any:
    raise RuntimeError("left behind")


def _driver_s_cursor() -> Any:
    return vars(connection.cursor())["cursor"]


def _sql() -> Any:
    is_psycopg2 = type(_driver_s_cursor()).__module__.startswith("psycopg2")
    return importlib.import_module("psycopg2.sql" if is_psycopg2 else "psycopg.sql")


def found() -> dict[str, Any]:
    """Return what a task finds of its session, nothing of which another task should have left."""
    find = _found_on_sqlite if connection.vendor == "sqlite" else _found_on_postgresql
    return {**find(), "debugging": connection.force_debug_cursor}


def session() -> int:
    """Return what tells one session from another."""
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        return id(vars(connections["default"])["connection"])
    return int(_one("SELECT pg_backend_pid()"))


def _found_on_postgresql() -> dict[str, Any]:
    return {
        "settings": _all(
            "SELECT name, setting FROM pg_settings WHERE source = 'session'"
            " AND setting <> reset_val AND name <> 'TimeZone'"
        ),
        "zone": _one("SHOW TimeZone"),
        "user": _one("SELECT current_user"),
        "temporary": _all(
            "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()"
            " UNION SELECT proname FROM pg_proc WHERE pronamespace = pg_my_temp_schema()"
        ),
        "locks": _all(
            "SELECT objid::text FROM pg_locks WHERE locktype = 'advisory'"
            " AND pid = pg_backend_pid()"
        ),
        "plans": _all("SELECT name FROM pg_prepared_statements"),
        "channels": _all("SELECT pg_listening_channels()"),
        "cursors": _all("SELECT name FROM pg_cursors WHERE is_holdable"),
        "tenant": _one("SELECT current_setting('my.tenant', true)"),
        "isolation": _one("SHOW transaction_isolation"),
    }


def _found_on_sqlite() -> dict[str, Any]:
    return {
        "cache": _one("PRAGMA cache_size"),
        "databases": _all("SELECT name FROM pragma_database_list ORDER BY name"),
        "temporary": _all("SELECT name FROM sqlite_temp_master"),
        "functions": _all("SELECT name FROM pragma_function_list WHERE name = 'left_function'"),
    }


def _all(sql: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [list(row) for row in cursor.fetchall()]


def _one(sql: str) -> Any:
    [[value]] = _all(sql)
    return value


@deed
def in_another_thread_set_a_limit() -> None:
    asyncio.run(sync_to_async(execute)("SET statement_timeout = '54321'"))


@deed
def tell_in_another_thread() -> dict[str, Any]:
    return asyncio.run(_told())


async def _told() -> dict[str, Any]:
    told: dict[str, Any] = await sync_to_async(found)()
    return {**told, "session": await sync_to_async(session)()}
