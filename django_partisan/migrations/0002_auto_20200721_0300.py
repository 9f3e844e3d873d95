"""The queue name, as version 1 added it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_partisan", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="task",
            name="queue_name",
            field=models.CharField(default="default", max_length=50),
        ),
        migrations.AlterField(
            model_name="task", name="extra", field=models.JSONField(default=dict)
        ),
    ]
