"""Code of the former version must be able to insert into migrated tables."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from django.db.migrations import AddField, CreateModel
from django.db.models import NOT_PROVIDED

from django_partisan import migrations

NAMES = sorted(
    module.name
    for module in pkgutil.iter_modules(migrations.__path__)
    if not module.name.startswith("_")
)
OF_VERSION_1 = NAMES[:2]


def added_fields(name: str) -> Iterator[AddField]:
    """Yield the new columns of tables that were there before."""
    operations = importlib.import_module(f"{migrations.__name__}.{name}").Migration.operations
    created = {each.name.lower() for each in operations if isinstance(each, CreateModel)}
    for each in operations:
        if isinstance(each, AddField) and each.model_name not in created:
            yield each


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_VERSION_1])
def test_every_new_column_can_be_left_out_by_an_insert(name: str) -> None:
    for added in added_fields(name):
        field = added.field
        assert field.null or field.db_default is not NOT_PROVIDED, f"{name}: {added.name}"


def test_there_are_new_columns() -> None:
    assert sum(len(list(added_fields(name))) for name in NAMES) > 10
