"""Keys of the project's objects, `app_label.modelname:pk`: rows point at any model with them."""

from __future__ import annotations

from types import SimpleNamespace

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.models import Model

from django_partisan.config.wording import shown

MAX_LENGTH = 255
"""Characters of a key."""


def object_key(obj: object) -> str:
    """Return the key of an object that is stored; of a proxy, that of its concrete model.

    Raises TypeError for what is no model object, ValueError for one that is not stored, or whose
    primary key is too long.
    """
    if not isinstance(obj, Model):
        raise TypeError(f"got {shown(obj)}, which is no object of a model; give one, or None")
    meta = (obj._meta.concrete_model or type(obj))._meta  # noqa: SLF001 - Django's documented interface
    if obj.pk is None or obj._state.adding:  # noqa: SLF001 - documented as well
        raise ValueError(f"got a {meta.label} that is not stored; save() it first")
    key = f"{meta.label_lower}:{stored_pk(obj)}"
    if len(key) > MAX_LENGTH:
        raise ValueError(
            f"got a {meta.label} whose primary key is too long: with the name of its model it has "
            f"{len(key)} characters, and {MAX_LENGTH} can be stored; give another object"
        )
    return key


def object_of(key: str) -> Model | None:
    """Return the object with a key, loaded anew; None where it or its model is gone."""
    label, _, pk = key.partition(":")
    try:
        model: type[Model] = apps.get_model(label)
        value = model._meta.pk.to_python(pk)  # noqa: SLF001
    except (LookupError, ValueError, ValidationError):
        return None
    if model._meta.swapped:  # noqa: SLF001 - by another one, so it has no table
        return None
    # The base manager: the project's own one may leave objects out.
    return model._base_manager.filter(pk=value).first()  # noqa: SLF001


def stored_pk(obj: Model) -> int | str:
    """Return a primary key as JSON can hold it: a number, or the text that its field makes of it.

    It is the same for equal keys, whatever they were given as.
    """
    field = obj._meta.pk  # noqa: SLF001
    pk = field.to_python(obj.pk)
    if isinstance(pk, int):
        return int(pk)
    return str(field.value_to_string(SimpleNamespace(**{field.attname: pk})))  # type: ignore[arg-type]
