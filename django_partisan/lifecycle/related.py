"""The project's own models that point at tasks, and so have a say in their deletion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import DO_NOTHING, ForeignKey, ProtectedError, QuerySet, RestrictedError
from django.db.models.fields.reverse_related import ForeignObjectRel

from django_partisan.lifecycle.rows import database
from django_partisan.models import Attempt, Follower, Output, Progress, Task

_OWN = (Attempt, Follower, Output, Progress)
_TASK = Task._meta  # noqa: SLF001 - Django's documented interface


def others_point_at_tasks() -> bool:
    """Say whether deleting a task may concern other rows than its attempts and their output.

    Foreign keys count, the tables of many-to-many fields, models that inherit from Task, and
    generic relations. Django finds them once per process.
    """
    return any(_relations()) or any(map(_is_generic, _TASK.private_fields))


def pointed_at_for_the_database(ids: Sequence[int]) -> set[int]:
    """Return which tasks cannot go since a DO_NOTHING key has a constraint on them.

    Django does not look at these before it deletes, and the database may wait for the commit.
    """
    found: set[int] = set()
    for field in map(_field_of, _relations()):
        if field.remote_field.on_delete is DO_NOTHING and getattr(field, "db_constraint", True):
            # Every row counts, whatever the model's own manager leaves out.
            rows: QuerySet[Any] = QuerySet(field.model, using=database())
            pointing = rows.filter(**{f"{field.attname}__in": ids})
            found.update(pointing.values_list(field.attname, flat=True))
    return found


def held_by(error: Exception) -> set[int]:
    """Return the tasks at which the objects point that Django names in its refusal."""
    match error:
        case ProtectedError():
            objects = error.protected_objects
        case RestrictedError():
            objects = error.restricted_objects
        case _:
            return set()
    fields = list(map(_field_of, _relations()))
    return {
        value
        for related in objects
        for field in fields
        if isinstance(related, field.model) and (value := getattr(related, field.attname))
    }


def _relations() -> Iterator[ForeignObjectRel]:
    for field in _TASK.get_fields(include_hidden=True):
        is_reverse = field.auto_created and not field.concrete
        if is_reverse and (field.one_to_one or field.one_to_many):
            assert isinstance(field, ForeignObjectRel)
            if field.related_model not in _OWN:
                yield field


def _field_of(relation: ForeignObjectRel) -> ForeignKey[Any, Any]:
    field = relation.field
    assert isinstance(field, ForeignKey)
    return field


def _is_generic(field: object) -> bool:
    return hasattr(field, "bulk_related_objects")
