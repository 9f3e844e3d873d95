"""A database whose transactions are stricter than READ COMMITTED: races are tried again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from django.db import OperationalError, connection, connections, transaction

from django_partisan import lifecycle
from django_partisan.exceptions import DuplicateNotVisible
from django_partisan.models import Task
from tests.support.factories import at_once, ids_of, row_of
from tests.support.helpers import HANG_SECONDS, wait_until
from tests.support.processors import Plain, Replacing, Unique
from tests.support.rows import make_task

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

T = TypeVar("T")
_WAITING = """SELECT count(*) FROM pg_locks
 WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"""


@pytest.fixture(params=["repeatable read", "serializable"], autouse=True)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have sessions that begin from now on be of this level, as by ALTER ROLE ... SET."""
    name: str = request.param
    value = "-c default_transaction_isolation=" + name.replace(" ", r"\ ")
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "options", value)
    return name


def overtaken(action: Callable[[], T], rival: Callable[[], object]) -> T:
    """Run an action in a session of its own; what it waits for is committed after it has begun."""

    def run() -> T:
        try:
            return action()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            rival()
            future = pool.submit(run)
            wait_until(_is_waited_for)
        return future.result(HANG_SECONDS)


def _is_waited_for() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        return bool(cursor.fetchone()[0])


def in_transaction(action: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with transaction.atomic():
            return action()

    return run


def test_sessions_are_of_that_level(level: str) -> None:
    def ask() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            return str(cursor.fetchone()[0])

    assert at_once(ask) == [level]


def test_a_duplicate_that_was_not_there_when_the_statement_began_is_returned() -> None:
    found = overtaken(Unique(1).delay, Unique(1).delay)
    assert found.was_duplicate
    assert list(Task.objects.all()) == [found]


def test_one_that_is_to_be_replaced_is() -> None:
    Replacing(1).delay(priority=5)
    changed = overtaken(lambda: Replacing(1).delay(priority=3), Replacing(1).delay)
    assert [task.priority for task in Task.objects.all()] == [changed.priority] == [3]


def test_it_is_returned_among_a_batch() -> None:
    found, new = overtaken(lambda: Unique.delay_many([(1,), (2,)]), Unique(1).delay)
    assert (found.was_duplicate, new.was_duplicate) == (True, False)
    assert ids_of(list(Task.objects.order_by("pk"))) == [found.pk, new.pk]


def test_many_callers_at_once_enqueue_one_task() -> None:
    tasks = at_once(*[Unique(1).delay] * 8)
    assert {task.pk for task in tasks} == {Task.objects.get().pk}
    at_once(*[lambda: Unique.delay_many([(1,), (2,), (3,)])] * 4)
    assert Task.objects.count() == 3


@pytest.mark.parametrize(
    "enqueue", [Unique(1).delay, lambda: Unique.delay_many([(1,), (2,)])], ids=["one", "many"]
)
def test_in_a_transaction_the_error_says_to_retry_that(enqueue: Callable[[], Any]) -> None:
    with pytest.raises(DuplicateNotVisible, match="retry the transaction") as caught:
        overtaken(in_transaction(enqueue), Unique(1).delay)
    assert isinstance(caught.value.__cause__, OperationalError)
    assert Task.objects.count() == 1


def test_the_retried_transaction_finds_it() -> None:
    with pytest.raises(DuplicateNotVisible):
        overtaken(in_transaction(Unique(1).delay), Unique(1).delay)
    [found] = at_once(in_transaction(Unique(1).delay))
    assert found.was_duplicate


def test_tasks_that_somebody_changes_meanwhile_are_cancelled_and_requeued_all_the_same() -> None:
    def change() -> None:
        Task.objects.update(priority=1)

    task, ended = Plain(1).delay(), make_task("error", ended_ago=1)
    assert overtaken(lambda: lifecycle.request_cancel([task.pk]), change).cancelled == [task.pk]
    assert overtaken(lambda: lifecycle.requeue([ended.pk]), change) == [ended.pk]
    assert row_of(ended).priority == 1
