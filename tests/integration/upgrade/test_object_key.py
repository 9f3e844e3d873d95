"""The migration of object keys may be interrupted: it has no transaction."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from tests.shop_app.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

MIGRATION: Any = import_module("django_partisan.migrations.0013_object_key").Migration


def test_a_column_that_is_there_is_not_added_again() -> None:
    before = MigrationLoader(connection).project_state([("django_partisan", "0012_labels")])
    after = before.clone()
    add_column = MIGRATION.operations[0]
    add_column.state_forwards("django_partisan", after)
    with connection.schema_editor(atomic=False) as editor:
        add_column.database_forwards("django_partisan", editor, before, after)
    order = Order.objects.create()
    task = order.send.delay()
    task.refresh_from_db()
    assert task.object_key == f"shop_app.order:{order.pk}"
