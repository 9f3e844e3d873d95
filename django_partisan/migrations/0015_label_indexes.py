"""The indexes of labels, made while producers and managers are at work; no plain task is in them."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

_HAS_TAGS = models.Q(("tags__isnull", False))


class AddIndexBesideWork(migrations.AddIndex):
    """Adds an index without a lock where the database can, and as ever where it cannot.

    PostgreSQL may get another one under the same name, by which it is found and removed; models
    know both as the one that every database can have.
    """

    def __init__(self, model_name, index, on_postgresql=None):
        super().__init__(model_name, index)
        self.on_postgresql = on_postgresql or index

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            operation = AddIndexConcurrently(self.model_name, self.on_postgresql)
            operation.database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            operation = AddIndexConcurrently(self.model_name, self.index)
            operation.database_backwards(app_label, schema_editor, from_state, to_state)
        else:
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("django_partisan", "0014_labels")]

    operations = [
        AddIndexBesideWork(
            model_name="task",
            index=models.Index(
                condition=models.Q(("creator_key__isnull", False)),
                fields=["creator_key", "id"],
                name="partisan_task_creator",
            ),
        ),
        AddIndexBesideWork(
            model_name="task",
            index=models.Index(condition=_HAS_TAGS, fields=["id"], name="partisan_task_tags"),
            on_postgresql=GinIndex(
                condition=_HAS_TAGS,
                fields=["tags"],
                name="partisan_task_tags",
                opclasses=["jsonb_path_ops"],
            ),
        ),
    ]
