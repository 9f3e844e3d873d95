"""Every statement of the manager's loop has an index made for it, and the planner takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from django.db import connection

from django_partisan import lifecycle
from django_partisan.attempt import FAILED, FINISHED, RETRIED, ClaimedTask
from django_partisan.control import pause
from django_partisan.database import dialect_for
from django_partisan.database.values import BatchRow, Cursor
from django_partisan.lifecycle import managers, to_run
from django_partisan.lifecycle.enqueue_many import _duplicates
from django_partisan.lifecycle.prune import delete_throttled
from django_partisan.manager.claiming.cursors import Cursors
from django_partisan.models import ManagerProcess, Task
from tests.conformance.plans import (
    TABLE,
    analyze,
    buffers,
    drain,
    fill,
    indexes_in,
    open_snapshot,
    plan_of,
    rows_read,
    sequential_scans,
    sqlite_plan_of,
)
from tests.support.factories import OWNER, claim_new, ended_attempt, record
from tests.support.processors import Plain, Unique

# Committed and truncated afterwards: rows rolled back would stay there for later tests to scan.
pytestmark = pytest.mark.django_db(transaction=True)

READY, CLAIMED = "partisan_task_claimable", "partisan_task_claimed"
UNIQUE = "partisan_task_unique_key"
CREATOR, TAGS = "partisan_task_creator", "partisan_task_tags"
HELD, EXPIRY = "partisan_task_held", "partisan_task_expiry"
PRIMARY = "django_partisan_task_pkey"
WAITING, BATCH = 20_000, 100
on_postgresql = pytest.mark.postgresql
on_sqlite = pytest.mark.sqlite


@pytest.fixture(
    params=[
        "fresh statistics",
        "no statistics",
        "statistics of a drained table",
        "plans of an empty table",
    ]
)
def learn(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[Callable[[], None]]:
    """Give what a test calls once its rows are there, for the planner to know them or not."""
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL plans by statistics")
    dialect_for().prepare_session(connection, is_own=True)
    if "drained" in request.param:
        fill(WAITING)
        drain()
        analyze()
    if "plans" in request.param:
        analyze()  # else a table of which nothing is known counts as one of ten pages
        lifecycle.claim("default", BATCH, OWNER, [Cursor(10)])
        lifecycle.record_and_claim([], "default", BATCH, OWNER, [Cursor(10)])()
    yield analyze if "fresh" in request.param else lambda: None
    connection.close()


def _survey() -> object:
    return lifecycle.survey(["default"])["default"]


def _cursors() -> list[Cursor]:
    return [found.cursor for found in lifecycle.survey(["default"])["default"]]


def _record(kind: str, tasks: list[ClaimedTask]) -> Callable[[], object]:
    return lambda: record(*(ended_attempt(task, kind) for task in tasks))


@on_postgresql
def test_a_claim_reads_little_more_than_its_batch(learn: Callable[[], None]) -> None:
    fill(WAITING, priorities=5)
    fill(5_000, status="finished")
    fill(5_000, queue="other", priority=0)
    learn()
    cursors = _cursors()
    plan = plan_of(lambda: lifecycle.claim("default", BATCH, OWNER, cursors))
    assert READY in indexes_in(plan)
    assert sequential_scans(plan) == []
    # Once to pick each row, once to update it.
    assert BATCH <= rows_read(plan) <= 3 * BATCH


@on_postgresql
@pytest.mark.parametrize("number", range(5))
def test_looking_through_what_is_to_run_reads_a_window_of_the_table_at_most(
    number: int, learn: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_run, "WINDOW", 1000)
    fill(5_000, status="finished")
    fill(BATCH)
    fill(5_000, status="finished")
    fill(BATCH, status="in_process")
    learn()
    plan = plan_of(lambda: list(to_run.tasks_to_run()), number)
    assert sequential_scans(plan) == []
    assert indexes_in(plan) <= {PRIMARY, CLAIMED}
    assert rows_read(plan) <= 1000


@on_postgresql
def test_future_tasks_of_a_better_priority_cost_a_claim_nothing(learn: Callable[[], None]) -> None:
    fill(WAITING, priority=0, due_in=3600)
    fill(WAITING, priority=10)
    learn()
    cursors = _cursors()
    assert [each.priority for each in cursors] == [0, 10]
    plan = plan_of(lambda: lifecycle.claim("default", BATCH, OWNER, cursors))
    assert rows_read(plan) <= 3 * BATCH


@on_postgresql
def test_a_claim_does_not_walk_over_what_was_claimed_before(learn: Callable[[], None]) -> None:
    fill(WAITING)
    learn()
    cursors = Cursors()
    cursors.surveyed(lifecycle.survey(["default"])["default"], 0, 0)
    with open_snapshot():
        for _ in range(5):
            cursors.claimed(lifecycle.claim("default", 1000, OWNER, cursors.current()))
        plan = plan_of(lambda: lifecycle.claim("default", BATCH, OWNER, cursors.current()))
        from_the_start = [each._replace(due=None) for each in cursors.current()]
        walk = plan_of(lambda: lifecycle.claim("default", BATCH, OWNER, from_the_start))
    assert buffers(plan) < buffers(walk) / 2


@on_postgresql
def test_recording_and_claiming_reads_little_more_than_its_batches(
    learn: Callable[[], None],
) -> None:
    tasks = claim_new(BATCH)
    fill(WAITING)
    learn()
    ended_attempts = [ended_attempt(task) for task in tasks]
    cursors = _cursors()
    plan = plan_of(lifecycle.record_and_claim(ended_attempts, "default", BATCH, OWNER, cursors))
    assert sequential_scans(plan) == []
    assert indexes_in(plan) <= {READY, PRIMARY, CLAIMED}
    assert rows_read(plan) <= 6 * BATCH


@on_postgresql
@pytest.mark.parametrize("kind", [FINISHED, RETRIED, FAILED])
def test_recording_finds_its_rows_by_id(kind: str, learn: Callable[[], None]) -> None:
    tasks = claim_new(BATCH)
    fill(WAITING)
    fill(2_000, status="in_process")
    learn()
    plan = plan_of(_record(kind, tasks))
    assert sequential_scans(plan) == []
    assert indexes_in(plan) <= {PRIMARY, CLAIMED}
    assert rows_read(plan) <= 3 * BATCH


@on_postgresql
def test_a_survey_does_not_read_the_waiting_rows(
    learn: Callable[[], None],
) -> None:
    fill(WAITING, priorities=4)
    fill(WAITING, priorities=4, due_in=3600)
    learn()
    plan = plan_of(_survey)
    assert indexes_in(plan) == {READY}
    assert sequential_scans(plan) == []
    assert rows_read(plan) <= 50


@on_postgresql
def test_a_beat_with_a_survey_reads_neither_waiting_nor_ended_rows(
    learn: Callable[[], None],
) -> None:
    manager = ManagerProcess.objects.create(node_name="here", pid=1)
    fill(WAITING, priorities=4)
    fill(WAITING, status="finished")
    learn()
    plan = plan_of(lambda: managers.beat(manager.pk, "running", {}, 30.0, ["default"]))
    tasks = [node for node in plan if node.get("Relation Name") == TABLE]
    assert {node.get("Index Name") for node in tasks} <= {READY, CLAIMED, HELD, EXPIRY}
    assert rows_read(plan) <= 50


def _find_duplicates() -> Callable[[], object]:
    rows = [BatchRow(task.id, "", _hex(task)) for task in Unique.delay_many(_numbers())]
    return lambda: _duplicates(rows)


def _numbers() -> list[tuple[int]]:
    return [(number,) for number in range(BATCH)]


def _hex(task: Task) -> str:
    assert task.unique_key is not None
    return task.unique_key.hex


@on_postgresql
def test_the_duplicates_of_a_batch_are_found_by_their_keys(learn: Callable[[], None]) -> None:
    find = _find_duplicates()
    fill(WAITING)
    learn()
    plan = plan_of(find)
    assert indexes_in(plan) == {UNIQUE}
    assert sequential_scans(plan) == []
    assert rows_read(plan) == BATCH


@on_postgresql
def test_a_batch_is_inserted_without_reading_the_table(learn: Callable[[], None]) -> None:
    fill(WAITING)
    learn()
    # The first statement that names the table reserves ids.
    plan = plan_of(lambda: Unique.delay_many(_numbers()), number=1)
    assert plan[0]["Node Type"] == "ModifyTable"
    assert rows_read(plan) == 0


@on_sqlite
def test_sqlite_finds_the_duplicates_of_a_batch_by_their_keys() -> None:
    plan = sqlite_plan_of(_find_duplicates())
    assert UNIQUE in plan
    assert "SCAN django_partisan_task" not in plan


@on_sqlite
def test_sqlite_claims_by_the_ready_index() -> None:
    cursors = [Cursor(1), Cursor(10)]
    # The first one asks whether anything is paused or has expired.
    plan = sqlite_plan_of(lambda: lifecycle.claim("default", BATCH, OWNER, cursors), 1)
    assert READY in plan
    assert "SCAN django_partisan_task" not in plan
    assert "USE TEMP B-TREE" not in plan


@on_sqlite
@pytest.mark.parametrize("kind", [FINISHED, FAILED])
def test_sqlite_records_by_the_primary_key(kind: str) -> None:
    plan = sqlite_plan_of(_record(kind, claim_new(2)))
    assert "SEARCH django_partisan_task USING INTEGER PRIMARY KEY" in plan
    assert "SCAN django_partisan_task" not in plan


@on_sqlite
def test_sqlite_surveys_by_the_ready_index() -> None:
    Plain().delay(execute_after=60)
    plan = sqlite_plan_of(_survey)
    assert READY in plan
    assert "SCAN django_partisan_task" not in plan


@on_sqlite
def test_sqlite_finds_requests_among_what_is_in_process_and_marks_by_the_primary_key() -> None:
    assert CLAIMED in sqlite_plan_of(lambda: lifecycle.requests_to(OWNER))
    plan = sqlite_plan_of(lambda: lifecycle.request_cancel([1, 2]))
    assert "SEARCH django_partisan_task USING INTEGER PRIMARY KEY" in plan


@on_postgresql
def test_looking_for_requests_reads_what_is_in_process_alone(learn: Callable[[], None]) -> None:
    fill(WAITING)
    fill(5_000, status="finished")
    lifecycle.claim("default", 50, OWNER, _cursors())
    learn()
    plan = plan_of(lambda: lifecycle.requests_to(OWNER))
    assert indexes_in(plan) <= {CLAIMED, "partisan_follower_task"}
    assert rows_read(plan) <= 50


@on_postgresql
def test_cancelling_reads_what_it_cancels(learn: Callable[[], None]) -> None:
    fill(WAITING)
    learn()
    ids = list(Task.objects.values_list("pk", flat=True)[:BATCH])
    plan = plan_of(lambda: lifecycle.request_cancel(ids))
    assert sequential_scans(plan) == []
    assert rows_read(plan) <= 3 * BATCH


@on_postgresql
@pytest.mark.parametrize("find", [lifecycle.take_up, partial(delete_throttled, "default")])
def test_what_is_looked_for_beside_claims_has_an_index_of_its_own(
    find: Callable[[], object], learn: Callable[[], None]
) -> None:
    fill(WAITING, status="finished")
    learn()
    plan = plan_of(find)
    assert indexes_in(plan) == {"partisan_task_in_time"}
    assert rows_read(plan) == 0


def _set(assignment: str, condition: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {TABLE} SET {assignment} WHERE {condition}")


@on_postgresql
def test_a_sweep_reads_what_has_expired_alone(learn: Callable[[], None]) -> None:
    fill(WAITING, priority=1)
    _set("expires_at = now() + interval '1 hour'", "priority = 1")
    fill(BATCH, priority=2)
    _set("expires_at = now() - interval '1 hour'", "priority = 2")
    learn()
    plan = plan_of(lambda: lifecycle.expire(limit=BATCH))
    assert EXPIRY in indexes_in(plan)
    assert sequential_scans(plan) == []
    assert rows_read(plan) <= 3 * BATCH


@on_postgresql
@pytest.mark.parametrize("learn", [analyze, lambda: None], ids=["statistics", "no statistics"])
def test_tasks_are_found_by_creator_and_tags_without_reading_others(
    learn: Callable[[], None],
) -> None:
    # In a session of the project's own, which no dialect has prepared.
    fill(WAITING, priority=1)
    fill(2_000, priority=2)
    _set("""creator_key = 'auth.user:' || id, tags = '["mail"]'""", "priority = 2")
    fill(BATCH, priority=3)
    _set("""creator_key = 'shop.order:1', tags = '["mail", "vip"]'""", "priority = 3")
    learn()
    for found, index in (
        (Task.objects.filter(creator_key="shop.order:1"), CREATOR),
        (Task.objects.tagged("vip"), TAGS),
        (Task.objects.tagged("mail", "vip"), TAGS),
    ):
        plan = plan_of(partial(list, found))
        assert indexes_in(plan) == {index}
        assert sequential_scans(plan) == []
        assert rows_read(plan) == BATCH


@on_sqlite
def test_sqlite_finds_tasks_by_creator_and_tags_among_those_that_have_any() -> None:
    for found, index in (
        (Task.objects.filter(creator_key="shop.order:1"), CREATOR),
        (Task.objects.tagged("mail", "vip"), TAGS),
        (Task.objects.tagged("vip").order_by("-pk"), TAGS),
    ):
        plan = sqlite_plan_of(partial(list, found))
        assert index in plan
        assert "USE TEMP B-TREE" not in plan


@pytest.fixture
def own_session(transactional_db: None) -> Iterator[None]:
    """Plan as in the session of a manager."""
    dialect_for().prepare_session(connection, is_own=True)
    yield
    connection.close()


# These two go batch by batch, for a twentieth of the time: with old statistics a batch may take
# longer, until autovacuum has followed.
@on_postgresql
def test_freeing_reads_what_ended_pauses_hold_alone(learn: Callable[[], None]) -> None:
    row = pause(processor="shop.Other")
    fill(WAITING, priority=1)
    _set(f"held_by = {row.pk}", "priority = 1")
    fill(BATCH, priority=2)
    _set(f"held_by = {row.pk + 1}", "priority = 2")
    learn()
    plan = plan_of(lambda: lifecycle.free_held(BATCH))
    assert HELD in indexes_in(plan)
    assert sequential_scans(plan) == []
    assert rows_read(plan) <= 4 * BATCH


@on_postgresql
def test_holding_goes_through_what_waits_a_window_at_a_time(own_session: None) -> None:
    fill(WAITING, priorities=5)
    fill(WAITING, status="finished")
    analyze()
    dialect, names = dialect_for(), ["tests.support.processors.Plain"]
    held, place = dialect.hold(connection, 1, names, None, BATCH)
    assert held == BATCH
    plan = plan_of(lambda: dialect.hold(connection, 1, names, place, BATCH))
    assert READY in indexes_in(plan)
    assert sequential_scans(plan) == []
    assert rows_read(plan) <= 4 * BATCH


@on_sqlite
def test_sqlite_sweeps_frees_and_holds_by_their_indexes() -> None:
    dialect = dialect_for()
    for action, index in (
        (lambda: lifecycle.expire(limit=BATCH), EXPIRY),
        (lambda: lifecycle.free_held(BATCH), HELD),
        (lambda: dialect.hold(connection, 1, ["x"], None, BATCH), READY),
    ):
        plan = sqlite_plan_of(action)
        assert index in plan
        assert "SCAN django_partisan_task\n" not in plan
