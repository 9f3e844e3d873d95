"""The object whose method a task calls, and its index, made while managers are at work."""

from django.db import migrations, models

from django_partisan.migrations._beside_work import AddIndexBesideWork


class AddFieldOnce(migrations.AddField):
    """Adds a column unless it is there: no transaction takes it back when the index fails."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        connection = schema_editor.connection
        with connection.cursor() as cursor:
            columns = connection.introspection.get_table_description(cursor, "django_partisan_task")
        if self.name not in {column.name for column in columns}:
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("django_partisan", "0012_labels")]

    operations = [
        AddFieldOnce(
            model_name="task",
            name="object_key",
            field=models.CharField(
                blank=True,
                help_text="The object whose method it calls, app_label.modelname:pk; empty: none.",
                max_length=255,
                null=True,
            ),
        ),
        AddIndexBesideWork(
            model_name="task",
            index=models.Index(
                condition=models.Q(("object_key__isnull", False)),
                fields=["object_key", "id"],
                name="partisan_task_object",
            ),
        ),
    ]
