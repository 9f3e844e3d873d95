"""A database-backed task queue for Django: the package and its version."""

__version__ = "2.0.0a1"
