"""One model for each way in which a row can point at a task."""
# ruff: noqa: DJ008 - nobody reads them

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models

from django_partisan.models import Task


class Protecting(models.Model):
    """Its task must stay."""

    task = models.ForeignKey(Task, on_delete=models.PROTECT)


class Restricting(models.Model):
    """Its task must stay unless it goes along."""

    task = models.ForeignKey(Task, on_delete=models.RESTRICT)


class Unlooked(models.Model):
    """Django does not look at it, the database does."""

    task = models.ForeignKey(Task, on_delete=models.DO_NOTHING)


class Cascading(models.Model):
    """It goes with its task."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="+")


class ProtectingChild(models.Model):
    """It keeps what goes with a task, and so the task."""

    parent = models.ForeignKey(Cascading, on_delete=models.PROTECT)


class Nulling(models.Model):
    """It stays without its task."""

    task = models.ForeignKey(Task, null=True, on_delete=models.SET_NULL)


class Many(models.Model):
    """It stays; the row that ties it to its task goes."""

    tasks = models.ManyToManyField(Task)


class Tag(models.Model):
    """It points at anything, by type and id."""

    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.BigIntegerField()
    target = GenericForeignKey()
