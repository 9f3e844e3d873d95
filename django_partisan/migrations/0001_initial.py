"""The table as version 1 created it; kept in shape so that its databases migrate in place."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Task",
            fields=[
                (
                    "id",
                    models.AutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("new", "New"),
                            ("in_process", "In Process"),
                            ("error", "Error"),
                            ("finished", "Finished"),
                        ],
                        default="new",
                        max_length=20,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("processor_class", models.CharField(max_length=128)),
                ("priority", models.IntegerField(default=10)),
                ("execute_after", models.DateTimeField(default=django.utils.timezone.now)),
                ("arguments", models.JSONField(default=dict)),
                ("extra", models.JSONField(blank=True, null=True)),
            ],
            options={"ordering": ("-priority",)},
        ),
    ]
