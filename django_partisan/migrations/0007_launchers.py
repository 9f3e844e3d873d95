"""The processes that start a manager's workers, so that others can make sure of their end."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_partisan", "0006_cancel")]

    operations = [
        migrations.AddField(
            model_name="managerprocess",
            name="launchers",
            field=models.JSONField(
                help_text="The processes that start workers, each with its pid and start time: "
                "whoever takes over makes sure that their sessions have ended.",
                null=True,
            ),
        ),
    ]
