"""A database keeps the names, creators and tags of tasks, and finds tasks by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_partisan import lifecycle
from django_partisan.attempt import FAILED, POSTPONED, RETRIED
from django_partisan.config import const
from django_partisan.lifecycle.instances import instance_of
from django_partisan.models import Task
from django_partisan.models.object_keys import object_key, object_of
from tests.support.factories import (
    claim,
    ended_attempt,
    finish,
    ids_of,
    insert_in_bulk,
    record,
    row_of,
)
from tests.support.processors import (
    Debounced,
    Earliest,
    Plain,
    Replacing,
    Unique,
    UniqueUntilFinish,
)

pytestmark = pytest.mark.django_db

LABELS = ("verbose_name", "creator_key", "tags")
SPECIAL = ('say "x"', "a\\b", "50 %", "naïve 🦄", "it's", "_", "[]", "x")


def labels(task: Any) -> tuple[Any, ...]:
    row = row_of(task)
    return row.verbose_name, row.creator_key, row.tags


def columns(task: Task) -> dict[str, Any]:
    return {field.attname: getattr(task, field.attname) for field in Task._meta.concrete_fields}


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


# --- What is stored ---------------------------------------------------------------------------


def test_a_task_has_the_labels_that_it_is_given(ada: User) -> None:
    task = Plain().delay(verbose_name="Invoice 17", creator=ada, tags=["mail", "vip", "mail"])
    assert labels(task) == ("Invoice 17", f"auth.user:{ada.pk}", ("mail", "vip"))
    assert task.creator == ada
    assert str(task) == f"Invoice 17 #{task.pk} (new)"


def _given(ada: User) -> dict[str, Any]:
    every = {"verbose_name": "ä", "creator": ada, "tags": SPECIAL}
    in_time = {"repeat": const.HOURLY, "expires": 60, "execute_after": 30}
    return {**every, **in_time}


@pytest.mark.parametrize("processor", [Plain, UniqueUntilFinish, Replacing])
@pytest.mark.parametrize(
    "names",
    [
        (),
        ("verbose_name",),
        ("creator",),
        ("tags",),
        ("tags", "verbose_name"),
        ("creator", "expires", "repeat"),
        ("verbose_name", "creator", "tags", "repeat", "expires", "execute_after"),
    ],
)
def test_the_tasks_that_are_returned_are_the_rows_in_the_database(
    processor: type[Plain], names: tuple[str, ...], ada: User
) -> None:
    given = _given(ada)
    options = {name: given[name] for name in names}
    one, many = processor(1).delay(**options), processor.delay_many([(2,), (3,)], **options)
    for task in (one, *many):
        assert columns(task) == columns(row_of(task))
        assert (task.verbose_name, task.creator, task.tags) == (
            options.get("verbose_name"), options.get("creator"), options.get("tags", ()),
        )  # fmt: skip


def test_tasks_without_labels_have_none_and_no_statement_names_their_columns() -> None:
    with CaptureQueriesContext(connection) as captured:
        tasks = [Plain(1).delay(), *Plain.delay_many([(2,)]), Plain(3).delay(tags=[])]
        claimed = claim()
        finish(claimed[0])
    assert all(name not in query["sql"] for query in captured for name in LABELS)
    for task in tasks:
        assert labels(task) == (task.verbose_name, task.creator, task.tags) == (None, None, ())
        assert str(task).startswith("tests.support.processors.Plain #")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_partisan_task WHERE tags IS NULL")
        assert cursor.fetchone() == (3,)


def test_rows_that_are_made_without_the_engine_have_no_tags() -> None:
    task = Task(processor_class="x")
    assert task.tags == ()
    task.save()
    [other] = insert_in_bulk(1, tags=("a", "b"))
    assert [labels(each)[2] for each in (task, other)] == [(), ("a", "b")]
    assert Task.objects.filter(tags__isnull=True).get() == task


# --- The creator ------------------------------------------------------------------------------


def test_a_creator_is_loaded_anew_and_none_when_it_is_gone(ada: User) -> None:
    task = Plain().delay(creator=ada)
    User.objects.update(username="countess")
    creator = row_of(task).creator
    assert isinstance(creator, User)
    assert creator.username == "countess"
    User.objects.all().delete()
    assert task.creator is row_of(task).creator is None
    assert task.creator_key is not None


@pytest.mark.parametrize(
    "key", ["auth.user:999", "auth.user:x", "auth.user:", "gone.model:1", "auth.gone:1", "auth", ""]
)
def test_a_key_of_nothing_leads_to_nothing(key: str) -> None:
    assert object_of(key) is None


def test_a_key_leads_back_to_its_object(ada: User) -> None:
    task = Plain().delay()
    for obj in (ada, Group.objects.create(name="staff"), task):
        assert object_of(object_key(obj)) == obj


def test_tasks_are_found_by_their_creator(ada: User) -> None:
    bob, group = User.objects.create_user("bob"), Group.objects.create(pk=ada.pk, name="x")
    mine = [Plain(1).delay(creator=ada), *Plain.delay_many([(2,), (3,)], creator=ada)]
    others = [Plain().delay(creator=bob), Plain().delay(creator=group), Plain().delay()]
    assert set(Task.objects.created_by(ada)) == set(mine)
    assert list(Task.objects.created_by(group)) == others[1:2]
    with pytest.raises(ValueError, match="not stored"):
        Task.objects.created_by(User())
    with pytest.raises(TypeError, match="no object of a model"):
        Task.objects.created_by("ada")  # type: ignore[arg-type]


def test_contenttypes_are_not_asked(ada: User) -> None:
    with CaptureQueriesContext(connection) as captured:
        task = Plain().delay(creator=ada)
        assert task.creator == ada
        assert Task.objects.created_by(ada).get() == task
    table = apps.get_model("contenttypes.contenttype")._meta.db_table
    assert not any(table in query["sql"] for query in captured)


# --- The tags ---------------------------------------------------------------------------------


def test_tasks_are_found_by_all_of_some_tags() -> None:
    a, ab, abc = (Plain().delay(tags=list(tags)) for tags in ("a", "ab", "abc"))
    Plain().delay()
    assert set(Task.objects.tagged("a")) == {a, ab, abc}
    assert set(Task.objects.tagged("b", "a")) == {ab, abc}
    assert set(Task.objects.tagged("a").tagged("c").filter(status="new")) == {abc}
    assert set(Task.objects.exclude(pk__in=Task.objects.tagged("b")).tagged("a")) == {a}
    assert not Task.objects.tagged("a", "z").exists()
    assert not Task.objects.tagged("A").exists()


@pytest.mark.parametrize("tag", SPECIAL)
def test_a_tag_with_special_characters_is_found_by_itself_alone(tag: str) -> None:
    tasks = {each: Plain().delay(tags=[each]) for each in (*SPECIAL, "a", "say", "50 x")}
    assert ids_of(list(Task.objects.tagged(tag))) == [tasks[tag].pk]


def test_looking_for_no_tag_or_for_what_can_be_none_is_refused() -> None:
    with pytest.raises(TypeError, match=r"tagged\(\) takes the tags to look for"):
        Task.objects.tagged()
    with pytest.raises(ValueError, match="can be no tag"):
        Task.objects.tagged("a,b")
    with pytest.raises(TypeError, match="takes texts"):
        Task.objects.tagged(["a"])  # type: ignore[arg-type]


def test_creators_and_tags_narrow_each_other_down(ada: User) -> None:
    both = Plain().delay(creator=ada, tags=["a"])
    Plain().delay(creator=ada)
    Plain().delay(tags=["a"])
    assert Task.objects.created_by(ada).tagged("a").get() == both
    assert Task.objects.filter(status="new").count() == 3


# --- What keeps them --------------------------------------------------------------------------

FIRST: dict[str, Any] = {"verbose_name": "first", "tags": ["first"]}
FIRST_LABELS = ("first", None, ("first",))


def _one_by_one(processor: Plain, **options: Any) -> Task:
    return processor.delay(**options)


def _together(processor: Plain, **options: Any) -> Task:
    [task] = type(processor).delay_many([processor], **options)
    return task


@pytest.mark.parametrize("enqueue", [_one_by_one, _together])
@pytest.mark.parametrize("processor", [Unique, Earliest])
def test_a_duplicate_keeps_its_own(
    processor: type[Plain], enqueue: Callable[..., Task], ada: User
) -> None:
    first = processor(1).delay(**FIRST, execute_after=60)
    found = enqueue(processor(1), verbose_name="second", creator=ada, tags=["second"])
    assert (found.pk, found.was_duplicate) == (first.pk, True)
    assert labels(found) == FIRST_LABELS
    assert (found.verbose_name, found.tags) == ("first", ("first",))


@pytest.mark.parametrize("enqueue", [_one_by_one, _together])
@pytest.mark.parametrize("processor", [Replacing, Debounced])
def test_what_replaces_a_task_gives_it_the_labels_that_it_has(
    processor: type[Plain], enqueue: Callable[..., Task], ada: User
) -> None:
    first = processor(1).delay(**FIRST)
    assert labels(enqueue(processor(1))) == FIRST_LABELS
    found = enqueue(processor(1), creator=ada, tags=["second"])
    assert found.pk == first.pk
    assert labels(found) == ("first", object_key(ada), ("second",))
    assert (found.creator, found.tags) == (ada, ("second",))


def test_a_task_keeps_them_over_retries_postpones_its_end_and_a_requeue(ada: User) -> None:
    task = Plain().delay(verbose_name="it", creator=ada, tags=["a"])
    stored = labels(task)
    for kind in (RETRIED, POSTPONED, FAILED):
        [claimed] = claim()
        record(ended_attempt(claimed, kind))
        assert labels(task) == stored
    lifecycle.requeue([task.pk])
    assert labels(task) == stored
    finish(claim()[0])
    assert labels(task) == stored


def test_a_running_task_reads_them_when_it_asks(ada: User, django_assert_num_queries: Any) -> None:
    Plain().delay(verbose_name="it", creator=ada, tags=["a"])
    [task] = claim()
    with django_assert_num_queries(0):
        instance = instance_of(task)
        assert str(instance) == f"tests.support.processors.Plain #{task.id} (in_process)"
    assert (instance.verbose_name, instance.creator, instance.tags) == ("it", ada, ("a",))


def test_a_chain_of_repeats_hands_them_on(ada: User) -> None:
    options: Any = {"repeat": const.HOURLY, "verbose_name": "it", "creator": ada, "tags": SPECIAL}
    link = Plain().delay(**options)
    Plain(2).delay(repeat=const.HOURLY)
    for task in claim():
        finish(task)
    followers = [labels(each) for each in Task.objects.filter(status="new").order_by("pk")]
    assert followers == [labels(link), (None, None, ())]
    assert labels(link) == ("it", object_key(ada), SPECIAL)
