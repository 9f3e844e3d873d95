"""What tries print, and who follows that while they run."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_partisan", "0017_flow_indexes")]

    operations = [
        migrations.CreateModel(
            name="Follower",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("until", models.DateTimeField()),
                (
                    "task",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="follower_set",
                        to="django_partisan.task",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["task"], name="partisan_follower_task")],
            },
        ),
        migrations.CreateModel(
            name="Output",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("lease", models.BigIntegerField()),
                ("number", models.IntegerField(help_text="1 for the task's first try.")),
                ("head", models.TextField(blank=True, help_text="The beginning, 64 KiB at most.")),
                ("tail", models.TextField(blank=True, help_text="The end, 192 KiB at most.")),
                (
                    "left_out",
                    models.BigIntegerField(
                        default=0, help_text="How many bytes between them were left out."
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "task",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="output_set",
                        to="django_partisan.task",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "constraints": [
                    models.UniqueConstraint(fields=("task", "lease"), name="partisan_output_of_try")
                ],
            },
        ),
    ]
