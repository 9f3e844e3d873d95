"""Rows of the project that point at tasks: what may go goes, and outcomes stay what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.contenttypes.fields import GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models.signals import pre_delete
from django.test.utils import CaptureQueriesContext

from django_partisan import inline, lifecycle
from django_partisan.lifecycle.prune import PRUNE_BATCH, Pruner
from django_partisan.lifecycle.related import others_point_at_tasks
from django_partisan.models import Attempt, Task
from django_partisan.settings import QueueSettings
from tests.support.pointing import pointing_models
from tests.support.rows import make_attempt, make_task

pytestmark = pytest.mark.django_db(transaction=True)
KEEP = QueueSettings(KEEP_FINISHED_SECONDS=1, KEEP_FAILED_SECONDS=1)
Point = Callable[[Any, Task], object]


@pytest.fixture
def models() -> Iterator[Any]:
    """Return the models that point at tasks."""
    with pointing_models() as found:
        yield found


def by(name: str) -> Point:
    return lambda models, task: getattr(models, name).objects.create(task=task)


def by_child(models: Any, task: Task) -> object:
    return models.ProtectingChild.objects.create(parent=models.Cascading.objects.create(task=task))


def by_many(models: Any, task: Task) -> object:
    row = models.Many.objects.create()
    row.tasks.add(task)
    return row


KEEPING = {
    "PROTECT": by("Protecting"),
    "RESTRICT": by("Restricting"),
    "DO_NOTHING": by("Unlooked"),
    "CASCADE to what is protected": by_child,
}
LETTING_GO = {"CASCADE": by("Cascading"), "SET_NULL": by("Nulling"), "many to many": by_many}
keeping = pytest.mark.parametrize("point", KEEPING.values(), ids=KEEPING)
letting_go = pytest.mark.parametrize("point", LETTING_GO.values(), ids=LETTING_GO)


def make_old(count: int, status: str = "finished") -> list[Task]:
    return [make_task(status, ended_ago=1000 - number) for number in range(count)]


def left() -> list[int]:
    return sorted(Task.objects.values_list("pk", flat=True))


@keeping
def test_pruning_deletes_what_is_free_and_keeps_the_rest(models: Any, point: Point) -> None:
    tasks = make_old(9)
    kept = [tasks[0], tasks[4], tasks[8]]
    for task in kept:
        point(models, task)
        make_attempt(task)
    assert lifecycle.prune("default", KEEP)["finished"] == 6
    assert left() == [task.pk for task in kept]
    assert Attempt.objects.count() == 3, "what is kept keeps its attempts"
    assert lifecycle.prune("default", KEEP)["finished"] == 0


@letting_go
def test_pruning_goes_by_the_keys_of_the_project(models: Any, point: Point) -> None:
    point(models, make_old(1)[0])
    assert lifecycle.prune("default", KEEP)["finished"] == 1
    assert models.Cascading.objects.count() == 0
    assert list(models.Nulling.objects.values_list("task", flat=True)) in ([], [None])


def test_more_protected_tasks_than_a_batch_holds_hide_nothing(models: Any) -> None:
    tasks = make_old(7)
    for task in tasks[:5]:
        models.Protecting.objects.create(task=task)
    assert lifecycle.prune("default", KEEP, limit=2)["finished"] == 2
    assert left() == [task.pk for task in tasks[:5]]


def test_what_is_kept_is_not_looked_at_again(models: Any) -> None:
    for task in make_old(20):
        models.Protecting.objects.create(task=task)
    pruner = Pruner("default", KEEP)
    assert sum(pruner.batch().values()) == 0
    assert (pruner.kept, pruner.is_done) == (20, True)
    free = make_task("finished", ended_ago=2)
    with CaptureQueriesContext(connection) as queries:
        assert pruner.batch()["finished"] == 1
    assert pruner.kept == 20
    assert not any("protecting" in q["sql"] and q["sql"].count(",") > 15 for q in queries)
    assert free.pk not in left()


def test_tasks_that_ended_at_the_same_moment_are_each_looked_at_once(models: Any) -> None:
    for _ in range(4):
        models.Protecting.objects.create(task=make_task("finished"))
    Task.objects.update(finished_at="2001-01-01T00:00:00Z")
    free = make_task("finished")
    Task.objects.filter(pk=free.pk).update(finished_at="2001-01-01T00:00:00Z")
    pruner = Pruner("default", KEEP)
    for _ in range(6):
        pruner.batch(limit=1)
    assert pruner.kept == 4
    assert free.pk not in left()


@keeping
def test_deleting_by_hand_tells_what_is_kept(models: Any, point: Point) -> None:
    tasks = make_old(PRUNE_BATCH + 3, "error")
    point(models, tasks[1])
    done = lifecycle.delete_or_keep(task.pk for task in tasks)
    assert done.kept == [tasks[1].pk]
    assert len(done.deleted) == len(tasks) - 1
    assert left() == done.kept


def test_a_receiver_that_refuses_one_deletion_refuses_no_other() -> None:
    tasks = make_old(5)

    def refuse(instance: Task, **_: object) -> None:
        if instance.pk == tasks[3].pk:
            raise PermissionDenied

    pre_delete.connect(refuse, sender=Task)
    try:
        assert lifecycle.prune("default", KEEP)["finished"] == 4
    finally:
        pre_delete.disconnect(refuse, sender=Task)
    assert left() == [tasks[3].pk]


def test_without_models_that_point_here_there_are_none() -> None:
    assert not others_point_at_tasks()


def test_any_kind_of_pointing_counts(models: Any) -> None:
    assert others_point_at_tasks()


def test_generic_relations_count_and_go_along(models: Any) -> None:
    task_class: Any = Task
    before = list(task_class._meta.private_fields)
    GenericRelation(models.Tag).contribute_to_class(task_class, "marks")
    try:
        task = make_old(1)[0]
        kind = ContentType.objects.get_for_model(Task)
        models.Tag.objects.create(content_type=kind, object_id=task.pk)
        assert others_point_at_tasks()
        lifecycle.delete([task.pk])
        assert not models.Tag.objects.exists()
    finally:
        task_class._meta.private_fields[:] = before
        task_class._meta._expire_cache()
        del task_class.marks


# ----- DELETE_TASKS_ON_COMPLETE -----


def complete(task: Task) -> None:
    inline.claim(None)
    inline.complete(Task.objects.get(pk=task.pk))


@pytest.fixture
def deleting(settings: Any) -> None:
    """Have finished tasks deleted."""
    settings.PARTISAN_CONFIG = {"default": {"DELETE_TASKS_ON_COMPLETE": True}}


@keeping
def test_a_kept_task_stays_finished(models: Any, deleting: None, point: Point) -> None:
    task = make_task()
    point(models, task)
    complete(task)
    assert Task.objects.get().status == "finished"
    assert not Attempt.objects.exists()


@keeping
def test_a_kept_task_stays_finished_in_a_transaction_of_the_caller(
    models: Any, deleting: None, point: Point
) -> None:
    task = make_task()
    point(models, task)
    with transaction.atomic():
        complete(task)
    assert Task.objects.get().status == "finished"


@letting_go
def test_a_free_task_is_deleted(models: Any, deleting: None, point: Point) -> None:
    task = make_task()
    point(models, task)
    complete(task)
    assert not Task.objects.exists()


def test_the_plain_case_stays_one_statement(deleting: None) -> None:
    task = make_task()
    inline.claim(None)
    claimed = Task.objects.get(pk=task.pk)
    with CaptureQueriesContext(connection) as queries:
        inline.complete(claimed)
    writes = [q["sql"] for q in queries if "DELETE" in q["sql"] or "SET status" in q["sql"]]
    assert len(writes) == 1
    assert not Task.objects.exists()


def test_a_constraint_that_django_does_not_know_keeps_the_task_finished(deleting: None) -> None:
    free, task = make_task(), make_task()
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE stranger (task_id bigint NOT NULL REFERENCES django_partisan_task (id))"
        )
        cursor.execute("INSERT INTO stranger VALUES (%s)", [task.pk])
    try:
        for each in (task, free):
            complete(each)
        assert [(t.pk, t.status) for t in Task.objects.all()] == [(task.pk, "finished")]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE stranger")
