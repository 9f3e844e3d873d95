"""The dialect of SQLite."""

from django_partisan.database.sqlite.dialect import SQLite

__all__ = ["SQLite"]
