"""Emptying the tables after a test whose writes were committed."""

from __future__ import annotations

from typing import Any, Final

from django.core.management.color import no_style
from django.db import connections
from django.test import TransactionTestCase

_KEPT: Final = {"django_migrations", "django_content_type", "auth_permission"}
"""What Django would make again after each test, which takes longer than most of them."""


def empty_used_tables_alone() -> None:
    """Have Django empty what a test has written to, instead of every table there is."""
    case: Any = TransactionTestCase
    case._fixture_teardown = _empty_used_tables


def _empty_used_tables(test: Any) -> None:
    for alias in test._databases_names(include_mirrors=False):
        connection = connections[alias]
        quote = connection.ops.quote_name
        with connection.cursor() as cursor:
            tables = set(connection.introspection.table_names(cursor)) - _KEPT
            questions = [
                f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {quote(table)})"
                for table in sorted(tables)
            ]
            cursor.execute(" UNION ALL ".join(questions))
            used = [table for (table,) in cursor.fetchall()]
        statements = connection.ops.sql_flush(no_style(), used, allow_cascade=True)
        connection.ops.execute_sql_flush(statements)
