"""While managers of the version before are at work: what their statements do to these tables.

They know of no pauses and no expiry. Their claims must stay quick, and what they do to held tasks
must be undone by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.db.models import Q

from django_partisan import lifecycle
from django_partisan.control import pause, resume
from django_partisan.database import dialect_for
from django_partisan.models import ManagerProcess, Task
from tests.conformance.plans import analyze, fill, indexes_in, plan_of, rows_read, sequential_scans
from tests.support import version_before
from tests.support.factories import OWNER, RIVAL, claim, enqueue, ids_of, row_of
from tests.support.processors import Plain

pytestmark = pytest.mark.django_db(transaction=True)
PLAIN = "tests.support.processors.Plain"
FORMER = "partisan_task_ready"
MIGRATION: Any = import_module("django_partisan.migrations.0011_pause_indexes")


def indexes() -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, Task._meta.db_table))


def _migrate(step: Callable[..., None]) -> None:
    with connection.schema_editor(atomic=False) as editor:
        step(apps, editor)


@pytest.fixture
def _both_indexes() -> Iterator[None]:
    """Have the tables as they are after a migration beside managers of the version before."""
    _migrate(MIGRATION.make_former)
    yield
    ManagerProcess.objects.all().delete()
    _migrate(MIGRATION.drop_former)


def test_a_new_database_has_one_ready_index() -> None:
    assert {name for name in indexes() if name in {FORMER, "partisan_task_claimable"}} == {
        "partisan_task_claimable"
    }


@pytest.mark.postgresql
@pytest.mark.usefixtures("_both_indexes")
def test_the_former_ready_index_stays_while_managers_are_registered() -> None:
    ManagerProcess.objects.create(node_name="here", pid=1)
    _migrate(MIGRATION.drop_former)
    assert FORMER in indexes()
    ManagerProcess.objects.all().delete()
    _migrate(MIGRATION.drop_former)
    assert FORMER not in indexes()
    _migrate(MIGRATION.drop_former)


@pytest.mark.sqlite
def test_sqlite_keeps_no_former_index_for_managers_that_cannot_be_beside() -> None:
    ManagerProcess.objects.create(node_name="here", pid=1)
    _migrate(MIGRATION.make_former)
    assert FORMER in indexes()
    _migrate(MIGRATION.drop_former)
    assert FORMER not in indexes()


@pytest.mark.postgresql
@pytest.mark.usefixtures("_both_indexes")
@pytest.mark.parametrize("is_analyzed", [True, False])
@pytest.mark.parametrize(
    "statement",
    [lambda: version_before.claim(100, OWNER), version_before.survey],
    ids=["claim", "survey"],
)
def test_a_manager_of_the_version_before_never_reads_the_whole_table(
    statement: Callable[[], object], is_analyzed: bool
) -> None:
    dialect_for().prepare_session(connection, is_own=True)
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = on; SET enable_bitmapscan = on")
    fill(5_000, status="finished")
    fill(20_000)
    if is_analyzed:
        analyze()
    plan = plan_of(statement)
    assert sequential_scans(plan) == []
    assert rows_read(plan) <= 300
    assert indexes_in(plan) & {FORMER, "partisan_task_claimable"}
    connection.close()


@pytest.mark.postgresql
@pytest.mark.usefixtures("_both_indexes")
def test_held_tasks_ahead_cost_a_manager_of_this_version_nothing() -> None:
    dialect_for().prepare_session(connection, is_own=True)
    fill(20_000, priority=1)
    pause(processor=Plain)
    fill(2_000, priority=10, queue="default")
    resume(processor="shop.Other")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_partisan_task SET processor_class = 'x' WHERE priority = 10")
    found = lifecycle.survey(["default"])["default"]
    assert [each.cursor.priority for each in found] == [10]
    cursors = [each.cursor for each in found]
    plan = plan_of(lambda: lifecycle.claim("default", 100, OWNER, cursors))
    assert indexes_in(plan) >= {"partisan_task_claimable"}
    assert rows_read(plan) <= 300
    connection.close()


def test_tasks_of_a_web_process_of_the_version_before_are_held_and_run() -> None:
    row = pause(processor=Plain)
    task_id = version_before.insert(PLAIN)
    assert claim() == []
    assert row_of(task_id).held_by == row.pk
    resume(processor=Plain)
    assert ids_of(claim()) == [task_id]


def test_what_such_a_manager_takes_of_held_tasks_is_recorded_and_nothing_of_it_is_lost() -> None:
    tasks = enqueue(3)
    pause(processor=Plain)
    taken = version_before.claim(2, RIVAL)
    assert len(taken) == 2, "it knows of no pause"
    assert version_before.finish(*taken[0])
    assert lifecycle.lost_claims(RIVAL, set())[0].id == taken[1][0]
    # It dies with the other one in its hands: that goes back, and waits for the end of the pause.
    with transaction.atomic():
        rescued = lifecycle.rescue(
            Q(manager_id=RIVAL), limit=10, max_rescues=3, reason="it was of the version before"
        )
    assert rescued == [taken[1][0]]
    assert claim() == []
    resume(processor=Plain)
    assert sorted(ids_of(claim())) == sorted(set(ids_of(tasks)) - {taken[0][0]})
    assert Task.objects.exclude(held_by=None).exclude(status="finished").count() == 0
