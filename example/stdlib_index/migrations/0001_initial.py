"""Create packages and modules."""

from typing import Any

from django.db import migrations, models

NUMBERS = ("lines", "functions", "classes", "documentable", "documented")


def numbers() -> list[tuple[str, Any]]:
    """Return the fields that both tables have."""
    return [(name, models.PositiveIntegerField(default=0)) for name in NUMBERS]


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Package",
            fields=[
                *numbers(),
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False)),
                (
                    "files",
                    models.PositiveIntegerField(default=0, help_text="Source files found on disk."),
                ),
                (
                    "modules_count",
                    models.PositiveIntegerField(default=0, help_text="Files that could be parsed."),
                ),
                ("summarized_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={"ordering": ("name",)},
        ),
        migrations.CreateModel(
            name="Module",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                *numbers(),
                ("path", models.CharField(max_length=255, unique=True)),
                ("indexed_at", models.DateTimeField()),
                (
                    "package",
                    models.ForeignKey(
                        on_delete=models.deletion.CASCADE,
                        related_name="modules",
                        to="stdlib_index.package",
                    ),
                ),
            ],
            options={"ordering": ("path",)},
        ),
    ]
