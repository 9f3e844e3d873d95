"""The indexes of pauses and expiry, made while producers and managers are at work.

The former ready index stays: managers of the version before have no other for their claims. Not on
SQLite, where there is one manager at a time: each claim would have to take its tasks out of both.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

FORMER = "partisan_task_ready"


class AddIndexBesideWork(AddIndexConcurrently):
    """Adds an index without a lock where the database can, and as ever where it cannot."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            _plain(self).database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        else:
            _plain(self).database_backwards(app_label, schema_editor, from_state, to_state)


def _plain(operation):
    return migrations.AddIndex(operation.model_name, operation.index)


def drop_former_on_sqlite(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(f"DROP INDEX IF EXISTS {FORMER}")


def make_former_on_sqlite(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        task = apps.get_model("django_partisan", "Task")
        [former] = [index for index in task._meta.indexes if index.name == FORMER]  # noqa: SLF001
        schema_editor.add_index(task, former)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("django_partisan", "0010_pauses_and_expiry")]

    operations = [
        AddIndexBesideWork(
            model_name="task",
            index=models.Index(
                condition=models.Q(("held_by__isnull", True), ("status", "new")),
                fields=["queue_name", "priority", "execute_after", "id"],
                name="partisan_task_claimable",
            ),
        ),
        AddIndexBesideWork(
            model_name="task",
            index=models.Index(
                condition=models.Q(("held_by__isnull", False)),
                fields=["held_by", "id"],
                name="partisan_task_held",
            ),
        ),
        AddIndexBesideWork(
            model_name="task",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False), ("finished_at__isnull", True)),
                fields=["expires_at"],
                name="partisan_task_expiry",
            ),
        ),
        migrations.RunPython(drop_former_on_sqlite, make_former_on_sqlite),
    ]
