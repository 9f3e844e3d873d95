"""The rows that tasks read and write through Django's ORM, as most real tasks do."""

from __future__ import annotations

from django.db import models

ROWS = 1_000


class Row(models.Model):  # noqa: DJ008 - nobody looks at it
    """A plain row; so many of them are there that tasks which run at the same time do not meet."""

    number = models.IntegerField(default=0)
    objects: models.Manager[Row]


def fill_rows() -> None:
    """Store the rows anew."""
    Row.objects.all().delete()
    Row.objects.bulk_create(Row(pk=number) for number in range(ROWS))


def written() -> int:
    """Return how often tasks have written since."""
    return int(Row.objects.aggregate(sum=models.Sum("number"))["sum"])


def read_and_write(number: int) -> None:
    """Do what the task with this number is there for."""
    row = Row.objects.get(pk=number % ROWS)
    row.number = models.F("number") + 1  # in case that they meet nevertheless
    row.save(update_fields=["number"])
