"""Tasks that wait for others: who waits for whom, which ends are to be told, flows by name."""

import django.db.models.functions.datetime
from django.db import migrations, models

# Emptied all the time: what is dead goes before anybody walks over it.
_STORAGE = {"autovacuum_vacuum_threshold": 50, "autovacuum_vacuum_scale_factor": 0}


def tune_storage(apps, schema_editor):
    """Have PostgreSQL vacuum the table of marks after few rows, however many there were."""
    if schema_editor.connection.vendor == "postgresql":
        settings = ", ".join(f"{name} = {value}" for name, value in _STORAGE.items())
        schema_editor.execute(f"ALTER TABLE django_partisan_untold SET ({settings})")


class Migration(migrations.Migration):
    dependencies = [("django_partisan", "0015_label_indexes")]

    operations = [
        migrations.CreateModel(
            name="Dependency",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("parent_id", models.BigIntegerField()),
                ("child_id", models.BigIntegerField()),
                (
                    "policy",
                    models.CharField(
                        choices=[("cancel", "It is cancelled"), ("run", "It runs all the same")],
                        default="cancel",
                        max_length=10,
                    ),
                ),
                (
                    "parent_outcome",
                    models.CharField(
                        blank=True,
                        help_text="How the parent had ended when it was named, or deleted; it counts no more then.",
                        max_length=20,
                        null=True,
                    ),
                ),
                (
                    "parent_result",
                    models.JSONField(
                        blank=True,
                        help_text="The result of a parent that has been deleted.",
                        null=True,
                    ),
                ),
            ],
            options={"verbose_name_plural": "dependencies"},
        ),
        migrations.CreateModel(
            name="Flow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(blank=True, max_length=255)),
                (
                    "total",
                    models.IntegerField(
                        default=0, help_text="The tasks in it, as far as it is known."
                    ),
                ),
                (
                    "on_success_id",
                    models.BigIntegerField(
                        blank=True,
                        help_text="The task that runs once all others have finished.",
                        null=True,
                    ),
                ),
                (
                    "on_complete_id",
                    models.BigIntegerField(
                        blank=True,
                        help_text="The task that runs once all others have ended.",
                        null=True,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={"ordering": ("-id",)},
        ),
        migrations.CreateModel(
            name="Untold",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "ends",
                    models.JSONField(default=list, help_text="The tasks that have ended, and how."),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={"verbose_name_plural": "untold"},
        ),
        migrations.AddIndex(
            model_name="dependency",
            index=models.Index(fields=["parent_id"], name="partisan_dependency_parent"),
        ),
        migrations.AddConstraint(
            model_name="dependency",
            constraint=models.UniqueConstraint(
                fields=("child_id", "parent_id"), name="partisan_dependency_once"
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="blocked_by",
            field=models.IntegerField(
                db_default=0, help_text="How many tasks that it waits for have not ended yet."
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="has_dependents",
            field=models.BooleanField(
                db_default=False, help_text="Whether other tasks wait for it, or have waited."
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="flow_id",
            field=models.BigIntegerField(
                blank=True, help_text="The flow that the task belongs to.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="task",
            name="status",
            field=models.CharField(
                choices=[
                    ("new", "New"),
                    ("waiting", "Waiting"),
                    ("in_process", "In process"),
                    ("error", "Error"),
                    ("finished", "Finished"),
                    ("cancelled", "Cancelled"),
                ],
                default="new",
                max_length=20,
            ),
        ),
        migrations.RunPython(tune_storage, migrations.RunPython.noop),
    ]
