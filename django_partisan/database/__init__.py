"""The only SQL text of the project: one dialect per kind of database."""

from __future__ import annotations

from functools import cache

from django.db import DEFAULT_DB_ALIAS, connections

from django_partisan.database.dialect import Dialect
from django_partisan.database.postgresql.dialect import PostgreSQL
from django_partisan.database.sqlite import SQLite
from django_partisan.exceptions import PartisanException

__all__ = ["Dialect", "dialect_for"]
_DIALECTS: dict[str, type[Dialect]] = {"postgresql": PostgreSQL, "sqlite": SQLite}


def dialect_for(alias: str = DEFAULT_DB_ALIAS) -> Dialect:
    """Return the dialect of a database alias; raise PartisanException when there is none for it."""
    return _dialect_of_vendor(connections[alias].vendor)


@cache
def _dialect_of_vendor(vendor: str) -> Dialect:
    try:
        return _DIALECTS[vendor]()
    except KeyError:
        known = ", ".join(sorted(_DIALECTS))
        raise PartisanException(
            f"django-partisan cannot keep its tasks in a {vendor} database; it knows {known}."
        ) from None
