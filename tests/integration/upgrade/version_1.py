"""The database as django-partisan 1.6.1 made and filled it, written as SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.apps import apps
from django.core.management import call_command
from django.db import connection

OLD_MIGRATIONS = ("0001_initial", "0002_auto_20200721_0300")
COLUMNS = (
    "status",
    "created_at",
    "updated_at",
    "processor_class",
    "priority",
    "execute_after",
    "arguments",
    "extra",
    "queue_name",
)

_TABLES = [each._meta.db_table for each in apps.get_app_config("django_partisan").get_models()]

_CREATE_ON_POSTGRESQL = """CREATE TABLE "django_partisan_task" (
    "id" serial NOT NULL PRIMARY KEY,
    "status" varchar(20) NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "processor_class" varchar(128) NOT NULL,
    "priority" integer NOT NULL,
    "execute_after" timestamp with time zone NOT NULL,
    "arguments" jsonb NOT NULL,
    "extra" jsonb NOT NULL,
    "queue_name" varchar(50) NOT NULL)"""

_CREATE_ON_SQLITE = """CREATE TABLE "django_partisan_task" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "status" varchar(20) NOT NULL,
    "created_at" datetime NOT NULL,
    "updated_at" datetime NOT NULL,
    "processor_class" varchar(128) NOT NULL,
    "priority" integer NOT NULL,
    "execute_after" datetime NOT NULL,
    "arguments" text NOT NULL CHECK ((JSON_VALID("arguments") OR "arguments" IS NULL)),
    "extra" text NOT NULL CHECK ((JSON_VALID("extra") OR "extra" IS NULL)),
    "queue_name" varchar(50) NOT NULL)"""


def install() -> None:
    """Replace the tables of today by the one of 1.6.1, and say so in django_migrations."""
    with connection.cursor() as cursor:
        for table in _TABLES:
            cursor.execute(f'DROP TABLE IF EXISTS "{table}"')
        is_sqlite = connection.vendor == "sqlite"
        cursor.execute(_CREATE_ON_SQLITE if is_sqlite else _CREATE_ON_POSTGRESQL)
        cursor.execute("DELETE FROM django_migrations WHERE app = 'django_partisan'")
        cursor.executemany(
            "INSERT INTO django_migrations (app, name, applied)"
            " VALUES ('django_partisan', %s, CURRENT_TIMESTAMP)",
            [(name,) for name in OLD_MIGRATIONS],
        )


def insert(rows: Iterable[dict[str, Any]]) -> None:
    """Insert tasks by the column list that 1.6.1 uses."""
    places = ", ".join(["%s"] * len(COLUMNS))
    sql = f"INSERT INTO django_partisan_task ({', '.join(COLUMNS)}) VALUES ({places})"
    with connection.cursor() as cursor:
        cursor.executemany(sql, [_values(row) for row in rows])


def old_row(**columns: Any) -> dict[str, Any]:
    """Return a task as 1.6.1 wrote it."""
    return {
        "status": "new",
        "created_at": "2021-03-04 05:06:07.891234+00:00",
        "updated_at": "2021-03-04 06:00:00+00:00",
        "processor_class": "KeptSinceVersion1",
        "priority": 10,
        "execute_after": "2021-03-04 05:06:07.891234+00:00",
        "arguments": {"args": [], "kwargs": {}},
        "extra": {},
        "queue_name": "default",
        **columns,
    }


def use_up_32_bits() -> None:
    """Move the sequence of ids to the last number that 32 bits can hold."""
    if connection.vendor == "sqlite":
        sql = "UPDATE sqlite_sequence SET seq = 2147483647 WHERE name = 'django_partisan_task'"
    else:
        sql = "SELECT setval('django_partisan_task_id_seq', 2147483647)"
    with connection.cursor() as cursor:
        cursor.execute(sql)


def migrate(target: str | None = None) -> None:
    """Run ``migrate`` for the app, to the newest state or to a named one."""
    names = ["django_partisan", *([target] if target else [])]
    call_command("migrate", *names, verbosity=0, interactive=False)


def restore() -> None:
    """Bring the tables of today back, empty, whatever state a test left."""
    install()
    migrate()


def _values(row: dict[str, Any]) -> list[Any]:
    convert: dict[type, Callable[[Any], Any]] = {dict: json.dumps, str: _moment_or_text}
    return [convert.get(type(row[name]), lambda value: value)(row[name]) for name in COLUMNS]


def _moment_or_text(value: str) -> str:
    """Return a moment as Django keeps it: in SQLite as text, in the zone of the settings."""
    if connection.vendor != "sqlite" or not value.endswith("+00:00"):
        return value
    moment = datetime.fromisoformat(value).astimezone(ZoneInfo(connection.timezone_name))
    return str(moment.replace(tzinfo=None))
