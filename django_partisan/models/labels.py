"""What tells tasks apart for people: the column of their tags, and how they are found."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.config.labels import checked_tags
from django_partisan.models.object_keys import object_key

T = TypeVar("T", bound=models.Model)


class TagsField(models.JSONField):
    """A tuple of texts, kept as a JSON list; NULL where there are none, so no index holds those.

    :class:`django_partisan.database.tags.HasTags` is its lookup ``has_tags``.
    """

    def deconstruct(self) -> Any:
        """Return what migrations know: a JSONField, whose column this is."""
        name, _, args, kwargs = super().deconstruct()
        kwargs.pop("default", None)
        return name, "django.db.models.JSONField", args, kwargs

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        """Return the list as the database takes it, NULL for an empty one."""
        return super().get_db_prep_save(value or None, connection)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """Return a tuple, empty for NULL and for what is no list."""
        found = super().from_db_value(value, expression, connection)
        return tuple(found) if isinstance(found, list) else ()


class LabelledQuerySet(models.QuerySet[T]):
    """Tasks by what tells them apart for people; each method narrows a query set down."""

    def created_by(self, obj: models.Model) -> Self:
        """Return the tasks whose ``creator`` is this object.

        Raises TypeError for what is no model object, ValueError for one that is not stored.
        """
        return self.filter(creator_key=object_key(obj))

    def for_object(self, obj: models.Model) -> Self:
        """Return the tasks that call methods of an object, the oldest first.

        A proxy's are those of its concrete model. Raises TypeError for what is no model object,
        ValueError for one that is not stored.
        """
        return self.filter(object_key=object_key(obj)).order_by("pk")

    def tagged(self, *tags: str) -> Self:
        """Return the tasks that have all of these tags.

        Raises TypeError without any and for what is no text, ValueError for what can be no tag.
        """
        if not tags:
            raise TypeError("tagged() takes the tags to look for, as tagged('mail')")
        return self.filter(tags__has_tags=checked_tags(tags))


LabelledManager = models.Manager.from_queryset(LabelledQuerySet)
"""The manager with these methods."""
