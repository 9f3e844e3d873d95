"""The moment at which the end of a task was asked for, and the attempts that tell of it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_partisan", "0005_indexes")]

    operations = [
        migrations.AddField(
            model_name="task",
            name="cancel_requested_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When its end was asked for; then it never waits again.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="attempt",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("retried", "Retried"),
                    ("failed", "Failed"),
                    ("rescued", "Rescued"),
                    ("cancelled", "Cancelled"),
                ],
                max_length=20,
            ),
        ),
    ]
