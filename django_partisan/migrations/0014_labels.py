"""What tells tasks apart for people: a name, the object that has created them, tags."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_partisan", "0013_object_key")]

    operations = [
        migrations.AddField(
            model_name="task",
            name="verbose_name",
            field=models.CharField(
                blank=True,
                help_text="What it is called for people; empty: as its processor.",
                max_length=255,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="creator_key",
            field=models.CharField(
                blank=True,
                help_text="The object that has created it, app_label.modelname:pk; empty: none.",
                max_length=255,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="tags",
            field=models.JSONField(
                blank=True, help_text="By which people find it; empty: none.", null=True
            ),
        ),
    ]
