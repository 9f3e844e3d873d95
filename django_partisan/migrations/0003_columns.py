"""The columns and tables of version 2. What version 1 left in process goes back to new first."""

from datetime import UTC
from zoneinfo import ZoneInfo

import django.core.serializers.json
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models
from django.utils.dateparse import parse_datetime

_MOVE = """UPDATE django_partisan_task SET created_at = partisan_moved(created_at),
    updated_at = partisan_moved(updated_at), execute_after = partisan_moved(execute_after)"""


def put_unfinished_back(apps, schema_editor):
    """Version 1 had no owners, so whatever it left in process waits again."""
    task = apps.get_model("django_partisan", "Task")
    task.objects.using(schema_editor.connection.alias).filter(status="in_process").update(
        status="new"
    )


def to_utc(apps, schema_editor):
    """Where the database knows no zones, version 1 had moments in the zone of the settings."""
    zone = ZoneInfo(schema_editor.connection.timezone_name)
    _move(schema_editor, lambda moment: moment.replace(tzinfo=zone).astimezone(UTC))


def to_local(apps, schema_editor):
    """Give version 1 its moments back."""
    zone = ZoneInfo(schema_editor.connection.timezone_name)
    _move(schema_editor, lambda moment: moment.replace(tzinfo=UTC).astimezone(zone))


def _move(schema_editor, moved):
    connection = schema_editor.connection
    if connection.vendor != "sqlite" or connection.timezone_name == "UTC":
        return

    def moved_text(text):
        return str(moved(parse_datetime(text)).replace(tzinfo=None))

    connection.connection.create_function("partisan_moved", 1, moved_text)
    schema_editor.execute(_MOVE)


class Migration(migrations.Migration):
    dependencies = [("django_partisan", "0002_auto_20200721_0300")]

    operations = [
        migrations.RunPython(put_unfinished_back, migrations.RunPython.noop),
        migrations.RunPython(to_utc, to_local),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.IntegerField(help_text="1 for the task's first try.")),
                ("lease", models.BigIntegerField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("retried", "Retried"),
                            ("failed", "Failed"),
                            ("rescued", "Rescued"),
                        ],
                        max_length=20,
                    ),
                ),
                ("error_type", models.CharField(blank=True, max_length=255)),
                ("message", models.TextField(blank=True)),
                ("traceback", models.TextField(blank=True)),
                ("duration_seconds", models.FloatField(blank=True, null=True)),
                ("worker_pid", models.IntegerField(blank=True, null=True)),
                ("node_name", models.CharField(blank=True, max_length=255)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "ordering": ("id",),
            },
        ),
        migrations.CreateModel(
            name="ManagerProcess",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("node_name", models.CharField(max_length=255)),
                ("pid", models.IntegerField()),
                (
                    "boot_id",
                    models.CharField(
                        help_text="The boot and pid namespace in which the pid means something.",
                        max_length=255,
                    ),
                ),
                (
                    "process_started",
                    models.CharField(
                        help_text="The process's start time by its system, so a reused pid is seen.",
                        max_length=64,
                    ),
                ),
                ("version", models.CharField(max_length=32)),
                ("queues", models.JSONField(default=list)),
                (
                    "state",
                    models.CharField(
                        choices=[("running", "Running"), ("stopping", "Stopping")],
                        default="running",
                        max_length=20,
                    ),
                ),
                (
                    "started_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "last_seen",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "snapshot",
                    models.JSONField(default=dict, help_text="What each worker runs right now."),
                ),
            ],
            options={
                "verbose_name_plural": "manager processes",
            },
        ),
        migrations.AlterModelOptions(
            name="task",
            options={},
        ),
        migrations.AddField(
            model_name="task",
            name="attempts",
            field=models.IntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name="task",
            name="claimed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="crashes",
            field=models.IntegerField(
                db_default=0,
                help_text="Rescues after which it was certain that the task had started.",
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="finished_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="is_unique_until_finish",
            field=models.BooleanField(db_default=False),
        ),
        migrations.AddField(
            model_name="task",
            name="lease",
            field=models.BigIntegerField(
                db_default=0,
                help_text="Proves whose claim it is; grows with every claim and rescue.",
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="manager_id",
            field=models.BigIntegerField(
                blank=True, help_text="The manager process that holds the task now.", null=True
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="postpones",
            field=models.IntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name="task",
            name="rescues",
            field=models.IntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name="task",
            name="result",
            field=models.JSONField(
                blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="retries",
            field=models.IntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name="task",
            name="started_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="unique_hash",
            field=models.UUIDField(
                blank=True, help_text="Hash of processor and arguments, when unique.", null=True
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="unique_key",
            field=models.UUIDField(
                blank=True,
                help_text="The hash while it keeps duplicates out; else empty.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="task",
            name="execute_after",
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.AlterField(
            model_name="task",
            name="extra",
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AlterField(
            model_name="task",
            name="id",
            field=models.BigAutoField(primary_key=True, serialize=False),
        ),
        migrations.AlterField(
            model_name="task",
            name="priority",
            field=models.IntegerField(default=10, help_text="Lower runs first."),
        ),
        migrations.AlterField(
            model_name="task",
            name="processor_class",
            field=models.CharField(max_length=255),
        ),
        migrations.AlterField(
            model_name="task",
            name="status",
            field=models.CharField(
                choices=[
                    ("new", "New"),
                    ("in_process", "In process"),
                    ("error", "Error"),
                    ("finished", "Finished"),
                    ("cancelled", "Cancelled"),
                ],
                default="new",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="attempt",
            name="task",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="attempt_set",
                to="django_partisan.task",
            ),
        ),
    ]
