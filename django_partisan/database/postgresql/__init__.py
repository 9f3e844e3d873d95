"""The dialect of PostgreSQL."""

from django_partisan.database.postgresql.dialect import PostgreSQL

__all__ = ["PostgreSQL"]
