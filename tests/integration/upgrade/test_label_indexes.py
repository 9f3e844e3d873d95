"""The indexes of labels are those that each database can use, whichever way they came to be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from django_partisan.models import Task
from tests.integration.upgrade import version_1
from tests.integration.upgrade.version_1 import migrate
from tests.support.processors import Plain

pytestmark = pytest.mark.django_db(transaction=True)

CREATOR, TAGS = "partisan_task_creator", "partisan_task_tags"


@pytest.fixture
def _restored() -> Iterator[None]:
    yield
    version_1.restore()


def indexes() -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, Task._meta.db_table))


def definition(name: str) -> str:
    table, column = ("pg_indexes", "indexdef"), "indexname"
    if connection.vendor == "sqlite":
        table, column = ("sqlite_master", "sql"), "name"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {table[1]} FROM {table[0]} WHERE {column} = %s", [name])
        return str(cursor.fetchone()[0])


@pytest.mark.postgresql
def test_postgresql_has_an_index_of_the_tags_themselves() -> None:
    assert "USING gin (tags jsonb_path_ops) WHERE (tags IS NOT NULL)" in definition(TAGS)
    assert "(creator_key, id) WHERE (creator_key IS NOT NULL)" in definition(CREATOR)


@pytest.mark.sqlite
def test_sqlite_has_an_index_of_what_has_tags() -> None:
    assert '("id") WHERE "tags" IS NOT NULL' in definition(TAGS)


@pytest.mark.usefixtures("_restored")
def test_they_come_and_go_with_their_migration() -> None:
    task = Plain().delay(tags=["a"])
    migrate("0014_labels")
    assert not indexes() & {CREATOR, TAGS}
    assert list(Task.objects.tagged("a").values_list("pk", flat=True)) == [task.pk]
    migrate()
    assert indexes() >= {CREATOR, TAGS}
    migrate("0012_labels")
    migrate()
    assert not Task.objects.tagged("a").exists()
    assert Task.objects.get() == task
