"""Migrations as a later version might bring them, applied to the tables of this one and undone."""

from __future__ import annotations

from typing import Any, Final

from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

APP: Final = "django_partisan"
_STATUSES: Final = ["new", "in_process", "error", "finished", "cancelled", "waiting"]


class LaterVersion:
    """Applies migrations to tables in use, one after another, and takes them back in the end."""

    def __init__(self) -> None:
        self._applied: list[tuple[migrations.Migration, Any]] = []
        self._state = MigrationLoader(connection).project_state()

    def apply(self, migration: migrations.Migration) -> None:
        """Apply one as ``migrate`` does, and have it recorded."""
        before = self._state.clone()
        with connection.schema_editor(atomic=migration.atomic) as editor:
            self._state = migration.apply(self._state, editor)
        MigrationRecorder(connection).record_applied(APP, migration.name)
        self._applied.append((migration, before))

    def undo(self) -> None:
        """Take back everything that was applied."""
        while self._applied:
            migration, self._state = self._applied.pop()
            with connection.schema_editor(atomic=migration.atomic) as editor:
                migration.unapply(self._state.clone(), editor)
            MigrationRecorder(connection).record_unapplied(APP, migration.name)


def columns() -> migrations.Migration:
    """Add columns with and without a default, and let the status be one more word."""
    constraint = models.CheckConstraint(
        condition=models.Q(status__in=_STATUSES), name="partisan_task_status_known"
    )
    return _migration(
        "0900_columns",
        migrations.AddField("task", "weight", models.IntegerField(db_default=1)),
        migrations.AddField("task", "parent_id", models.BigIntegerField(null=True)),
        migrations.RemoveConstraint("task", constraint.name),
        migrations.AddConstraint("task", constraint),
    )


def index() -> migrations.Migration:
    """Add an index, without a lock where that can be."""
    index = models.Index(fields=["processor_class"], name="partisan_task_processor")
    if connection.vendor == "postgresql":
        from django.contrib.postgres.operations import AddIndexConcurrently

        return _migration("0901_index", AddIndexConcurrently("task", index), is_atomic=False)
    return _migration("0901_index", migrations.AddIndex("task", index))


def managers() -> migrations.Migration:
    """Add a column to the other table that managers write."""
    field = models.TextField(db_default="")
    return _migration("0902_managers", migrations.AddField("managerprocess", "region", field))


def wider_name() -> migrations.Migration:
    """Change the type of a column that every claim returns."""
    field = models.CharField(max_length=300)
    return _migration("0903_wider", migrations.AlterField("task", "processor_class", field))


def _migration(
    name: str, *operations: migrations.operations.base.Operation, is_atomic: bool = True
) -> migrations.Migration:
    contents = {"operations": operations, "atomic": is_atomic}
    kind: type[migrations.Migration] = type("Migration", (migrations.Migration,), contents)
    return kind(name, APP)
