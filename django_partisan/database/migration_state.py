"""The check that every migration of this version has been applied."""

from __future__ import annotations

import pkgutil

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from django_partisan import migrations
from django_partisan.exceptions import NotMigrated


def require_migrated(connection: BaseDatabaseWrapper) -> None:
    """Raise NotMigrated, with the remedy, when a migration of django-partisan is not applied."""
    applied = MigrationRecorder(connection).applied_migrations()
    missing = [name for name in _names() if ("django_partisan", name) not in applied]
    if missing:
        raise NotMigrated(
            f"The tables of django-partisan in database {connection.alias!r} are missing or old "
            f"({missing[0]} is not applied): run `manage.py migrate`."
        )


def _names() -> list[str]:
    names = (module.name for module in pkgutil.iter_modules(migrations.__path__))
    return sorted(name for name in names if not name.startswith("_"))
