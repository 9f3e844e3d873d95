"""What a task needs to be followed by another one, and by rules in time to keep others out."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_partisan", "0007_launchers")]

    operations = [
        migrations.AddField(
            model_name="task",
            name="repeat_seconds",
            field=models.FloatField(
                blank=True,
                help_text="How far apart the links of its chain are, while it is one.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="repeat_until",
            field=models.DateTimeField(
                blank=True,
                help_text="The last moment for which a link of its chain is due.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="repeat_slot",
            field=models.DateTimeField(
                blank=True,
                help_text="When it was to run by its chain, whatever was postponed.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="unique_for_seconds",
            field=models.FloatField(
                blank=True,
                help_text="How long after its start it keeps duplicates out.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="debounce_until",
            field=models.DateTimeField(
                blank=True,
                help_text="Duplicates put it off no further than to this moment.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(
                    ("repeat_seconds__isnull", False),
                    ("unique_for_seconds__isnull", False),
                    _connector="OR",
                ),
                fields=["finished_at"],
                name="partisan_task_in_time",
            ),
        ),
    ]
