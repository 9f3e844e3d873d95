from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_partisan", "0011_pause_indexes")]

    operations = [
        migrations.AddField(
            model_name="managerprocess",
            name="label",
            field=models.CharField(
                blank=True, db_default="", help_text="What --label has called it.", max_length=100
            ),
        ),
    ]
