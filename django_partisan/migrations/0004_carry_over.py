"""What version 1 kept in `extra` moves to its own columns; nothing of `extra` is thrown away."""

from django.db import migrations
from django.db.models import F

_BATCH = 1000


def carry_over(apps, schema_editor):
    """Fill retries, postpones, attempts, finished_at and one Attempt per old error.

    Version 1 wrote `{"count": 0, "retries": {"count": 1}}`, `{"postpones": {"count": 2}, ...}` or
    `{"message": "..."}`.
    """
    alias = schema_editor.connection.alias
    task = apps.get_model("django_partisan", "Task").objects.using(alias)
    attempt = apps.get_model("django_partisan", "Attempt").objects.using(alias)
    ended = task.filter(status__in=["finished", "error"], finished_at=None)
    ended.update(finished_at=F("updated_at"), attempts=1)
    last = 0
    while rows := list(task.filter(pk__gt=last).exclude(extra={}).order_by("pk")[:_BATCH]):
        last = rows[-1].pk
        task.bulk_update(
            [_counted(row) for row in rows], ["retries", "postpones", "attempts"], batch_size=100
        )
        attempt.bulk_create([_told(attempt.model, row) for row in rows if _message(row)])


def _counted(row):
    row.retries = _count(row, "retries")
    row.postpones = _count(row, "postpones")
    row.attempts = row.retries + (row.finished_at is not None)
    return row


def _told(attempt, row):
    return attempt(
        task_id=row.pk,
        number=row.attempts,
        lease=0,
        outcome="failed",
        message=_message(row),
        created_at=row.finished_at or row.updated_at,
    )


def _count(row, name):
    kept = row.extra.get(name) if isinstance(row.extra, dict) else None
    count = kept.get("count") if isinstance(kept, dict) else None
    return count if isinstance(count, int) and 0 <= count < 2**31 else 0


def _message(row):
    message = row.extra.get("message") if isinstance(row.extra, dict) else None
    return message if isinstance(message, str) else ""


class Migration(migrations.Migration):
    dependencies = [("django_partisan", "0003_columns")]

    operations = [migrations.RunPython(carry_over, migrations.RunPython.noop)]
