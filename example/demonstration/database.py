"""Which database the demonstration uses, and Django made ready for it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.db import connections

from tools.embedded_postgres import embedded_postgres

DATABASES = ("sqlite", "postgres")


@contextmanager
def demo_database(name: str, root: Path) -> Iterator[None]:
    """Set Django up on the named database for the length of the block.

    Its data is kept below ``root``. The environment tells every process started inside the block
    the same. An embedded PostgreSQL stops when the block ends.
    """
    data = root / name
    data.mkdir(parents=True, exist_ok=True)
    with _database_url(name, data) as url:
        os.environ.update(
            DJANGO_SETTINGS_MODULE="project.settings", DEMO_DATA=str(data), DEMO_DATABASE_URL=url
        )
        django.setup()
        try:
            yield
        finally:
            connections.close_all()


@contextmanager
def _database_url(name: str, data: Path) -> Iterator[str]:
    if name == "sqlite":
        yield f"sqlite:///{data / 'index.sqlite3'}"
        return
    print("Starting the embedded PostgreSQL.", flush=True)
    with embedded_postgres(data / "server") as url:
        yield url
