"""The indexes of labels, made while producers and managers are at work; no plain task is in them."""

from django.contrib.postgres.indexes import GinIndex
from django.db import migrations, models

from django_partisan.migrations._beside_work import AddIndexBesideWork

_HAS_TAGS = models.Q(("tags__isnull", False))


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("django_partisan", "0014_labels")]

    operations = [
        AddIndexBesideWork(
            model_name="task",
            index=models.Index(
                condition=models.Q(("creator_key__isnull", False)),
                fields=["creator_key", "id"],
                name="partisan_task_creator",
            ),
        ),
        AddIndexBesideWork(
            model_name="task",
            index=models.Index(condition=_HAS_TAGS, fields=["id"], name="partisan_task_tags"),
            on_postgresql=GinIndex(
                condition=_HAS_TAGS,
                fields=["tags"],
                name="partisan_task_tags",
                opclasses=["jsonb_path_ops"],
            ),
        ),
    ]
