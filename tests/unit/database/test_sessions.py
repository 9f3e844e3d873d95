"""Which statements leave in a session what DISCARD ALL does not clear."""

from __future__ import annotations

from typing import Any

import pytest

from django_partisan.database.sessions import outlasts_discard


class Wrapper:
    """As much of a connection as the text of a statement needs."""

    def __init__(self, vendor: str) -> None:
        self.vendor = vendor


class Composed:
    """A statement that the driver would put together, as its own ones do."""

    def __init__(self, text: str) -> None:
        self._text = text

    def as_string(self, context: Any) -> str:
        return self._text


def outlasts(vendor: str, sql: object) -> bool:
    connection: Any = Wrapper(vendor)
    return outlasts_discard(connection, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "LOAD 'auto_explain'",
        "SELECT 1; load 'auto_explain'",
        "SELECT setseed(0.5)",
        "PREPARE p (float8) AS SELECT pg_catalog.setseed($1)",
        "SELECT dblink_connect('other', 'dbname=other')",
        "SELECT postgres_fdw_get_connections()",
        "IMPORT FOREIGN SCHEMA public FROM SERVER s INTO local",
        "SELECT pg_replication_origin_session_setup('o')",
        "SELECT pg_create_logical_replication_slot('s', 'test_decoding', true)",
        "SELECT pg_backup_start('label')",
        "SET my.tenant = 7",
        "set session my.tenant to 7",
        'SET "my"."tenant" = 7',
        'SET "my.tenant" = 7',
        'SET LOCAL"my".tenant = 7',
        "SET LOCAL my.tenant = 7",
        "RESET my.tenant",
        "/* for the tenant */ SET my.tenant = 7",
        "SET /* a /* nested */ comment */ my.tenant = 7",
        "SET -- a comment\n my.tenant = 7",
        "SELECT '--', setseed(0.5)",
        "SELECT '/*', setseed(0.5), '*/'",
        "SELECT 1; SET my.tenant = 7",
        "SELECT set_config('my.tenant', '7', true)",
        "SELECT set_config('my' || '.tenant', '7', true)",
        "SELECT set_config('work_mem', '1MB', true), set_config('my.tenant', '7', true)",
        "SELECT set_config(%s, %s, false)",
        'SELECT pg_catalog."set_config" ( $1, $2, false)',
        "SELECT set_config /* c */ (/* c */ 'my.tenant', '7', false)",
        "DO $$ BEGIN PERFORM 1; END $$",
        "do language plpgsql $body$ begin end $body$",
        "DO 'BEGIN END'",
        "DO E'BEGIN END'",
        b"SELECT setseed(0.5)",
        Composed("SET my.tenant = '7'"),
        object(),
        None,
    ],
)
def test_a_statement_whose_traces_outlast_a_discard_is_noticed(sql: object) -> None:
    assert outlasts("postgresql", sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SET statement_timeout = 0",
        "SET search_path TO tenant, public",
        "SET TIME ZONE 'UTC'",
        "SELECT set_config('statement_timeout', '7', false)",
        "CREATE TEMP TABLE t (a int)",
        "SELECT pg_advisory_lock(1)",
        'UPDATE "t" SET "a" = "t"."b", "payload" = %s WHERE "t"."id" = %s',
        'SELECT "t"."load", "load" FROM "t"',
        'INSERT INTO "t" ("a") VALUES (%s) ON CONFLICT DO NOTHING',
        'INSERT INTO "t" ("a") VALUES (%s) ON CONFLICT("a") DO UPDATE SET "a" = EXCLUDED."a"',
        'SELECT "t"."payload" FROM "downloads" -- loaded',
        Composed("SET ROLE reader"),
    ],
)
def test_any_other_statement_is_not(sql: object) -> None:
    assert not outlasts("postgresql", sql)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("PRAGMA foreign_keys = OFF", True),
        ("/* c */ pragma cache_size = 1", True),
        ("ATTACH DATABASE 'x' AS y", True),
        ("CREATE TEMP TABLE t (a)", True),
        ("CREATE TABLE temp.t (a)", True),
        ("SELECT load_extension('x')", True),
        ("SELECT 1", False),
        ('UPDATE "t" SET "temperature" = 1', False),
    ],
)
def test_on_sqlite_whatever_changes_the_connection_is_noticed(sql: str, expected: bool) -> None:
    assert outlasts("sqlite", sql) is expected


def test_other_databases_are_not_asked_for_text() -> None:
    assert not outlasts("mysql", "SET x.y = 1")
