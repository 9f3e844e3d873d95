"""The indexes of pauses and expiry, made while producers and managers are at work.

The former ready index stays where managers are registered, which may be of the version before: they
have no other for their claims. Elsewhere it goes, and with it an entry for each task that is stored
and claimed. On SQLite it always goes, as there is one manager at a time.
"""

from django.db import migrations, models

from django_partisan.migrations._beside_work import AddIndexBesideWork

FORMER = models.Index(
    condition=models.Q(("status", "new")),
    fields=["queue_name", "priority", "execute_after", "id"],
    name="partisan_task_ready",
)
_TABLE = "django_partisan_task"


def drop_former(apps, schema_editor):
    """Drop it unless managers are registered that may need it."""
    alias, is_sqlite = schema_editor.connection.alias, schema_editor.connection.vendor == "sqlite"
    managers = apps.get_model("django_partisan", "ManagerProcess").objects.using(alias)
    task = apps.get_model("django_partisan", "Task")
    if _has_former(schema_editor) and (is_sqlite or not managers.exists()):
        schema_editor.remove_index(task, FORMER, **_beside_work(schema_editor))


def make_former(apps, schema_editor):
    """Make it where it is not."""
    task = apps.get_model("django_partisan", "Task")
    if not _has_former(schema_editor):
        schema_editor.add_index(task, FORMER, **_beside_work(schema_editor))


def _has_former(schema_editor):
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        return FORMER.name in connection.introspection.get_constraints(cursor, _TABLE)


def _beside_work(schema_editor):
    return {"concurrently": True} if schema_editor.connection.vendor == "postgresql" else {}


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
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.RemoveIndex(model_name="task", name=FORMER.name)],
            database_operations=[migrations.RunPython(drop_former, make_former)],
        ),
    ]
