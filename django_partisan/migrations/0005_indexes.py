"""The indexes and constraints of version 2, and PostgreSQL's care for a table that never rests."""

from django.db import migrations, models

_TASK = "django_partisan_task"
_STORAGE = {
    "fillfactor": 70,
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_threshold": 1000,
    "autovacuum_vacuum_insert_scale_factor": 0.1,
    "autovacuum_analyze_scale_factor": 0.05,
    "autovacuum_vacuum_cost_delay": 1,
}


def tune_storage(apps, schema_editor):
    """Leave room for updates in place, and vacuum after few dead rows instead of a fifth."""
    if schema_editor.connection.vendor == "postgresql":
        settings = ", ".join(f"{name} = {value}" for name, value in _STORAGE.items())
        schema_editor.execute(f"ALTER TABLE {_TASK} SET ({settings})")


def reset_storage(apps, schema_editor):
    """Give PostgreSQL its own defaults back."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"ALTER TABLE {_TASK} RESET ({', '.join(_STORAGE)})")


class Migration(migrations.Migration):
    dependencies = [("django_partisan", "0004_carry_over")]

    operations = [
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("status", "new")),
                fields=["queue_name", "priority", "execute_after", "id"],
                name="partisan_task_ready",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("status", "in_process")),
                fields=["id"],
                name="partisan_task_claimed",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("status__in", ["finished", "error", "cancelled"])),
                fields=["status", "queue_name", "finished_at"],
                name="partisan_task_finished",
            ),
        ),
        migrations.AddConstraint(
            model_name="task",
            constraint=models.UniqueConstraint(
                condition=models.Q(("unique_key__isnull", False)),
                fields=("unique_key",),
                name="partisan_task_unique_key",
            ),
        ),
        migrations.AddConstraint(
            model_name="task",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("status__in", ["new", "in_process", "error", "finished", "cancelled"])
                ),
                name="partisan_task_status_known",
            ),
        ),
        migrations.RunPython(tune_storage, reset_storage),
    ]
