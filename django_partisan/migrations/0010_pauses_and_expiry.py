"""Pauses of queues and processors, and the moment after which a task does not start."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_partisan", "0009_schedules")]

    operations = [
        migrations.CreateModel(
            name="Pause",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("queue_name", models.CharField(blank=True, max_length=50, null=True)),
                ("processor_class", models.CharField(blank=True, max_length=255, null=True)),
                (
                    "names",
                    models.JSONField(
                        default=list,
                        help_text="The names that tasks of the processor may be stored under.",
                    ),
                ),
                ("reason", models.TextField(blank=True)),
                ("paused_by", models.CharField(blank=True, max_length=255)),
                (
                    "paused_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "until",
                    models.DateTimeField(
                        blank=True, help_text="When it ends by itself; empty: never.", null=True
                    ),
                ),
            ],
            options={"ordering": ("pk",)},
        ),
        migrations.AddConstraint(
            model_name="pause",
            constraint=models.UniqueConstraint(
                condition=models.Q(("queue_name__isnull", False)),
                fields=("queue_name",),
                name="partisan_pause_queue",
            ),
        ),
        migrations.AddConstraint(
            model_name="pause",
            constraint=models.UniqueConstraint(
                condition=models.Q(("processor_class__isnull", False)),
                fields=("processor_class",),
                name="partisan_pause_processor",
            ),
        ),
        migrations.AddConstraint(
            model_name="pause",
            constraint=models.CheckConstraint(
                condition=models.Q(("processor_class__isnull", False), ("queue_name__isnull", True))
                | models.Q(("processor_class__isnull", True), ("queue_name__isnull", False)),
                name="partisan_pause_of_one",
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="expires_at",
            field=models.DateTimeField(
                blank=True,
                help_text="It does not start after this; empty: it may at any time.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="held_by",
            field=models.BigIntegerField(
                blank=True,
                help_text="The pause that keeps the waiting task from being claimed.",
                null=True,
            ),
        ),
    ]
