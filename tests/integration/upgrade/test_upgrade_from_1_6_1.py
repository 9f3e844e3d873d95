"""A database of 1.6.1 becomes one of today by `migrate`, and nothing in it is lost."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from django_partisan import execution
from django_partisan.attempt import FAILED
from django_partisan.config.moments import with_zone
from django_partisan.models import Attempt, ManagerProcess, Task
from tests.integration.upgrade import version_1
from tests.integration.upgrade.version_1 import insert, migrate, old_row
from tests.settings import ROOT
from tests.support.factories import claim, ended_attempt, ids_of, record
from tests.support.processors import Plain

pytestmark = pytest.mark.django_db(transaction=True)

CREATED = datetime(2021, 3, 4, 5, 6, 7, 891234, UTC)
UPDATED = datetime(2021, 3, 4, 6, tzinfo=UTC)
RETRIED = {"count": 0, "retries": {"count": 1}}
POSTPONED_TWICE = {"count": 1, "postpones": {"count": 2}}
BROKEN = {"message": "division by zero"}


@pytest.fixture
def old_database() -> Iterator[None]:
    version_1.install()
    yield
    version_1.restore()


def migrated(*rows: dict[str, Any]) -> list[Task]:
    insert(rows)
    migrate()
    return list(Task.objects.order_by("pk"))


def test_every_column_of_every_row_is_kept(old_database: None) -> None:
    arguments = {"args": ["ü", 1], "kwargs": {"x": None}}
    [task] = migrated(old_row(priority=-3, queue_name="other", arguments=arguments, extra=RETRIED))
    assert (task.id, task.status, task.processor_class) == (1, "new", "KeptSinceVersion1")
    assert (task.priority, task.queue_name, task.arguments) == (-3, "other", arguments)
    moments = [task.created_at, task.updated_at, task.execute_after]
    assert list(map(with_zone, moments)) == [CREATED, UPDATED, CREATED]
    assert task.extra == RETRIED


def test_moments_stay_the_same_in_a_project_without_time_zones(
    old_database: None, settings: Any
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Tokyo"
    [task] = migrated(old_row())
    assert with_zone(task.execute_after) == CREATED
    assert ids_of(claim()) == [task.pk]
    migrate("0002_auto_20200721_0300")
    with connection.cursor() as cursor:
        cursor.execute("SELECT execute_after FROM django_partisan_task")
        assert cursor.fetchone() == (datetime(2021, 3, 4, 14, 6, 7, 891234),)


def test_every_status_is_kept_but_in_process_waits_again(old_database: None) -> None:
    tasks = migrated(*(old_row(status=s) for s in ("new", "in_process", "error", "finished")))
    assert [task.status for task in tasks] == ["new", "new", "error", "finished"]
    assert ids_of(claim()) == ids_of(tasks[:2])


def test_the_new_columns_start_empty(old_database: None) -> None:
    [task] = migrated(old_row())
    assert task.lease == task.attempts == task.rescues == task.crashes == 0
    assert {task.manager_id, task.claimed_at, task.result, task.unique_key} == {None}


def test_counters_of_retries_and_postpones_are_carried_over(old_database: None) -> None:
    retried, postponed = migrated(old_row(extra=RETRIED), old_row(extra=POSTPONED_TWICE))
    assert (retried.tries_count, retried.postpones_count, retried.attempts) == (1, 0, 1)
    assert (postponed.tries_count, postponed.postpones_count, postponed.attempts) == (0, 2, 0)


def test_the_message_of_an_error_becomes_an_attempt(old_database: None) -> None:
    [task] = migrated(old_row(status="error", extra=BROKEN))
    [attempt] = Attempt.objects.all()
    assert (attempt.task_id, attempt.outcome, attempt.number) == (task.id, "failed", 1)
    assert attempt.message == "division by zero"
    assert with_zone(attempt.created_at) == with_zone(task.finished_at) == UPDATED
    assert task.attempts == 1


def test_a_task_that_had_ended_ended_when_it_was_last_updated(old_database: None) -> None:
    for task in migrated(old_row(status="finished"), old_row(status="error")):
        assert (with_zone(task.finished_at), task.attempts) == (UPDATED, 1)


@pytest.mark.parametrize(
    "extra",
    [
        {"retries": {"count": "many"}, "postpones": [], "message": 5},
        {"retries": None, "message": None},
        {"retries": {"count": -1}, "postpones": {"count": 2**40}},
        {"mine": {"count": 3}},
    ],
)
def test_an_extra_of_any_other_shape_is_kept_and_counts_nothing(
    old_database: None, extra: dict[str, Any]
) -> None:
    [task] = migrated(old_row(extra=extra))
    assert (task.extra, task.retries, task.postpones) == (extra, 0, 0)
    assert not Attempt.objects.exists()


def test_more_rows_than_one_batch_are_all_carried_over(old_database: None) -> None:
    tasks = migrated(*[old_row(status="error", extra=BROKEN)] * 1500, old_row(extra=RETRIED))
    assert len(tasks) == 1501
    assert Attempt.objects.count() == 1500
    assert tasks[-1].retries == 1


def test_ids_are_64_bits_wide_and_go_on_where_they_were(old_database: None) -> None:
    last = migrated(*[old_row()] * 3)[-1]
    assert Plain().delay().pk == last.pk + 1
    version_1.use_up_32_bits()
    assert Plain().delay().pk == 2**31
    assert ids_of(claim())[-1] == 2**31


def test_an_insert_by_code_of_1_6_1_still_works_afterwards(old_database: None) -> None:
    migrate()
    insert([old_row(arguments={"args": [3], "kwargs": {}})])
    [task] = claim()
    assert (task.lease, task.attempts, task.processor_class) == (1, 1, "KeptSinceVersion1")


def test_a_task_stored_under_a_bare_class_name_runs(old_database: None) -> None:
    migrated(old_row(arguments={"args": [3], "kwargs": {"a": 1}}), old_row(arguments={}))
    outcomes = [execution.execute(task) for task in claim()]
    assert [outcome.result for outcome in outcomes] == ['[[3],{"a":1}]', None]
    assert [outcome.kind for outcome in outcomes] == ["finished", "finished"]


def test_a_task_whose_class_is_gone_fails_alone(old_database: None) -> None:
    migrated(old_row(processor_class="Vanished"))
    [task] = claim()
    outcome = execution.execute(task)
    assert outcome.kind == "failed"
    assert outcome.error is not None
    assert "Vanished cannot be found" in outcome.error.message
    assert record(ended_attempt(task, FAILED)) == {task.id}


def test_an_empty_database_migrates_there_and_back(old_database: None) -> None:
    migrate()
    migrate("0002_auto_20200721_0300")
    insert([old_row()])
    migrate()
    assert Task.objects.count() == 1
    assert not ManagerProcess.objects.exists()
    migrate("zero")
    assert "django_partisan_task" not in connection.introspection.table_names()


def test_the_migrations_make_the_same_tables_from_nothing(old_database: None) -> None:
    migrate()
    upgraded = _shape()
    migrate("zero")
    migrate()
    assert _shape() == upgraded


def test_the_models_need_no_further_migration() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def _shape() -> dict[str, Any]:
    with connection.cursor() as cursor:
        introspect = connection.introspection
        described = introspect.get_table_description(cursor, "django_partisan_task")
        constraints = introspect.get_constraints(cursor, "django_partisan_task")
    # A serial column keeps its sequence as a default, where a new table has an identity.
    columns = {(c.name, c.type_code, c.null_ok, c.name == "id" or c.default) for c in described}
    return {
        "columns": columns,
        "constraints": sorted(
            (name, details["columns"], details["unique"], details["index"])
            for name, details in constraints.items()
            if not name.startswith("__")
        ),
    }


GUIDE = ROOT / "docs/how-to/upgrade-from-1.6.1.rst"


def told_in_the_guide(section: str) -> list[str]:
    """Return the Python of a section of the upgrade guide."""
    text = GUIDE.read_text().partition(section)[2].partition("\n\n\n")[0] + "\n"
    blocks = re.findall(r"code-block:: python\n\n((?: +.*\n|\n)+)", text)
    return [textwrap.dedent(block) for block in blocks]


def test_the_guide_finds_what_was_finished_by_mistake(old_database: None) -> None:
    done = {"status": "finished"}
    lost = migrated(old_row(**done, extra=RETRIED), old_row(**done, extra=POSTPONED_TWICE))
    kept = migrated(old_row(**done), old_row(status="error", extra=RETRIED))[2:]
    find, put_back = told_in_the_guide("by mistake")
    exec(f"{find}\n{put_back}", {})
    by_id = dict(Task.objects.values_list("pk", "status"))
    assert {by_id[task.pk] for task in lost} == {"new"}
    assert [by_id[task.pk] for task in kept] == ["finished", "error"]


def test_the_guide_leads_back(old_database: None) -> None:
    migrate()
    name = f"{'long.' * 30}tasks.SendMail"
    Task.objects.create(processor_class=name, arguments={"args": [], "kwargs": {}})
    [rename] = told_in_the_guide("The way back")
    exec(rename, {})
    migrate("0002_auto_20200721_0300")
    with connection.cursor() as cursor:
        cursor.execute("SELECT status, processor_class FROM django_partisan_task")
        assert cursor.fetchall() == [("new", "SendMail")]
    migrate()
