"""The only SQL text of the project: one dialect per kind of database."""

from __future__ import annotations

from functools import cache

from django.db import DEFAULT_DB_ALIAS, connections

from django_partisan.database.dialect import Dialect
from django_partisan.database.postgresql.dialect import PostgreSQL
from django_partisan.database.sqlite import SQLite
from django_partisan.exceptions import UnsupportedDatabase

__all__ = ["Dialect", "dialect_for"]
_DIALECTS: dict[str, type[Dialect]] = {"postgresql": PostgreSQL, "sqlite": SQLite}


def dialect_for(alias: str = DEFAULT_DB_ALIAS) -> Dialect:
    """Return the dialect of a database alias; raise UnsupportedDatabase when it has none."""
    connection = connections[alias]
    try:
        return _dialect_of_vendor(connection.vendor)
    except KeyError:
        known = " and ".join(sorted(_DIALECTS))
        engine = connection.settings_dict.get("ENGINE") or "no engine"
        raise UnsupportedDatabase(
            f"DATABASES[{alias!r}] ({engine}) cannot hold the tasks: django-partisan works with "
            f"{known}. Correct ENGINE, or name another database by a router."
        ) from None


@cache
def _dialect_of_vendor(vendor: str) -> Dialect:
    return _DIALECTS[vendor]()
