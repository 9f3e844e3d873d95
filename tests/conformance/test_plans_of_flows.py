"""Telling, counting and pruning flows reads by keys, whatever the statistics are of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
from django.db import connection

from django_partisan import lifecycle
from django_partisan.database import dialect_for
from django_partisan.database.values import DEPENDENCY, TASK, UNTOLD
from django_partisan.lifecycle import managers
from django_partisan.lifecycle.prune import delete_parents
from django_partisan.models import Flow, ManagerProcess, Task, Untold
from django_partisan.settings import QueueSettings
from tests.conformance.plans import Node, fill, plan_of, rows_read, sequential_scans
from tests.support.factories import locked_by_a_stranger

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]
MANY = 10_000
"""Children of one parent, or parents of one child."""
OTHERS = 20_000
"""Tasks and dependencies that the statements have nothing to do with."""


def execute(statement: str, *parameters: list[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)


def analyze() -> None:
    execute(f"ANALYZE {TASK}, {DEPENDENCY}, {UNTOLD}")


@pytest.fixture(params=["no statistics", "of empty tables", "of full tables"])
def learn(request: pytest.FixtureRequest, transactional_db: None) -> Callable[[], None]:
    """Give what a test calls once its rows are there, for the planner to know them or not."""
    if "empty" in request.param:
        analyze()
    return analyze if "full" in request.param else lambda: None


def _fill_others() -> None:
    """Store pairs of tasks: of the first, the second one waits for it, and so on."""
    fill(OTHERS, priority=1)
    execute(
        f"UPDATE {TASK} SET status = CASE id % 2 WHEN 0 THEN 'waiting' ELSE 'finished' END,"
        " blocked_by = (id + 1) % 2, has_dependents = id % 2 = 1, finished_at = now(),"
        " flow_id = id % 100 + 1000"
    )
    execute(
        f"INSERT INTO {DEPENDENCY} (parent_id, child_id, policy)"
        f" SELECT id, id + 1, 'cancel' FROM {TASK} WHERE id % 2 = 1"
    )


def _fill_one_to_many(outcome: str) -> None:
    [parent] = _filled(1, status=outcome, has_dependents=True)
    children = _filled(MANY, status="waiting", blocked_by=1)
    _join([parent] * MANY, children)
    Untold.objects.create(ends=[[parent, outcome]])


def _fill_many_to_one(outcome: str) -> None:
    parents = _filled(MANY, status=outcome, has_dependents=True)
    [child] = _filled(1, status="waiting", blocked_by=MANY)
    _join(parents, [child] * MANY)
    Untold.objects.bulk_create(
        Untold(ends=[[pk, outcome] for pk in parents[start : start + 100]])
        for start in range(0, MANY, 100)
    )


def _filled(count: int, **columns: object) -> list[int]:
    last = Task.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    fill(count)
    rows = Task.objects.filter(pk__gt=last)
    rows.update(**columns)
    return sorted(rows.values_list("pk", flat=True))


def _join(parents: list[int], children: list[int]) -> None:
    execute(
        f"INSERT INTO {DEPENDENCY} (parent_id, child_id, policy)"
        " SELECT p, c, 'cancel' FROM unnest(%s::bigint[], %s::bigint[]) AS e(p, c)",
        parents,
        children,
    )


def _prune(queue_name: str) -> object:
    return lifecycle.prune(queue_name, QueueSettings(KEEP_FINISHED_SECONDS=0))


@pytest.mark.parametrize("is_locked", [False, True])
@pytest.mark.parametrize(
    ("shape", "outcome"), [(_fill_one_to_many, "error"), (_fill_many_to_one, "finished")]
)
def test_telling_reads_by_keys(
    shape: Callable[[str], None], outcome: str, is_locked: bool, learn: Callable[[], None]
) -> None:
    _fill_others()
    shape(outcome)
    learn()
    last = Task.objects.order_by("-pk").values_list("pk", flat=True)[0]
    with locked_by_a_stranger(last) if is_locked else nullcontext():
        plan = plan_of(lifecycle.tell_dependents)
    _assert_by_keys(plan)
    assert rows_read(plan) <= 3 * MANY
    assert sum(node.get("Rows Removed by Join Filter", 0) for node in plan) <= MANY


def _assert_by_keys(plan: list[Node]) -> None:
    for table in (TASK, DEPENDENCY):
        assert sequential_scans(plan, table) == []


def test_a_beat_looks_at_marks_alone(learn: Callable[[], None]) -> None:
    connection.close()
    dialect_for().prepare_session(connection, is_own=True)
    manager = ManagerProcess.objects.create(node_name="here", pid=1)
    _fill_others()
    _fill_many_to_one("finished")
    learn()
    _assert_by_keys(plan_of(lambda: managers.beat(manager.pk, "running", {}, 30.0, [])))
    connection.close()


def test_the_progress_of_a_flow_is_counted_by_its_own_tasks(learn: Callable[[], None]) -> None:
    _fill_others()
    flow = Flow.objects.create(total=100)
    _filled(100, flow_id=flow.pk)
    learn()
    plan = plan_of(lambda: flow.progress)
    _assert_by_keys(plan)
    assert rows_read(plan) == 100


@pytest.mark.parametrize("prune", [_prune, delete_parents])
def test_pruning_asks_of_each_task_alone_whether_it_is_still_needed(
    prune: Callable[[str], object], learn: Callable[[], None]
) -> None:
    _fill_others()
    execute(f"UPDATE {TASK} SET status = 'finished' WHERE id % 200 = 0")
    learn()
    plan = plan_of(lambda: prune("default"))
    _assert_by_keys(plan)
    assert rows_read(plan) <= 2 * OTHERS


@pytest.mark.parametrize("is_own", [False, True])
def test_telling_is_never_compiled(is_own: bool) -> None:
    """Of unnested values the planner expects so many that it would compile for seconds."""
    settings: list[str] = []

    def look(run: Callable[..., object], sql: str, *rest: object) -> object:
        if "batch AS" in sql:
            with connection.connection.cursor() as cursor:
                cursor.execute("SHOW jit")
                settings.append(cursor.fetchone()[0])
        return run(sql, *rest)

    connection.close()
    dialect_for().prepare_session(connection, is_own=is_own)
    with connection.execute_wrapper(look):
        lifecycle.tell_dependents()
    assert settings == ["off"]
    connection.close()
