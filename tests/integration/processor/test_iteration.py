"""An IterationProcessor goes through query sets by their keys, in transactions if wanted."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_partisan import lifecycle
from django_partisan.attempt import ClaimedTask
from django_partisan.exceptions import LeaseLost
from django_partisan.models import Attempt, Progress, Task
from django_partisan.processor import IterationProcessor
from tests.app.models import Ledger
from tests.support.factories import claim_new, insert_in_bulk, rescue

pytestmark = pytest.mark.django_db(transaction=True)


class Walk(IterationProcessor):
    """Notes every task of a queue; `during` is called with each before that."""

    BATCH = 3
    COUNT = True

    def items(self, cursor: Any) -> Any:
        return Task.objects.filter(queue_name="walked")

    def each(self, item: Task) -> None:
        Ledger.objects.create(task_id=item.pk)
        self.during(item)

    def during(self, item: Task) -> None:
        pass


class WalkAtomically(Walk):
    EACH_ATOMIC = True


def walked() -> list[int]:
    return list(Ledger.objects.order_by("pk").values_list("task_id", flat=True))


def make(count: int) -> list[int]:
    return sorted(task.pk for task in insert_in_bulk(count, queue_name="walked"))


def bound(kind: type[IterationProcessor], task: ClaimedTask | None = None) -> IterationProcessor:
    processor = kind()
    processor.bind(task or claim_new()[0])
    return processor


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_all_objects_are_done_in_the_order_of_their_keys(count: int) -> None:
    ids = make(count)
    bound(Walk).run()
    assert walked() == ids


def test_a_batch_is_read_at_a_time_and_counted_once() -> None:
    make(7)
    processor = bound(Walk)
    with CaptureQueriesContext(connection) as statements:
        processor.run()
    read = [one["sql"] for one in statements if '"queue_name" =' in one["sql"]]
    assert [("COUNT(" in sql, "LIMIT 3" in sql) for sql in read] == [
        (True, False),
        *[(False, True)] * 3,
    ]


def test_what_comes_into_being_behind_the_cursor_is_not_done_and_ahead_of_it_is() -> None:
    ids = make(4)
    first, last = ids[0] - 1000, ids[-1] + 1000

    class Growing(Walk):
        def during(self, item: Task) -> None:
            if item.pk == ids[1]:
                insert_in_bulk(1, queue_name="walked", pk=last)
                insert_in_bulk(1, queue_name="walked", pk=first)

    bound(Growing).run()
    assert walked() == [*ids, last]


def test_what_is_deleted_ahead_of_the_batch_is_not_done_and_behind_it_harms_nothing() -> None:
    ids = make(7)

    class Shrinking(Walk):
        def during(self, item: Task) -> None:
            if item.pk == ids[2]:
                Task.objects.filter(pk__in=[ids[0], ids[2], ids[4]]).delete()

    bound(Shrinking).run()
    assert walked() == [pk for pk in ids if pk != ids[4]]


def test_an_object_that_a_join_gives_twice_is_done_once() -> None:
    ids = make(4)
    for pk in ids:
        for number in range(5):
            Attempt.objects.create(task_id=pk, number=number, lease=1, outcome="failed")

    class Joined(Walk):
        def items(self, cursor: Any) -> Any:
            return Task.objects.filter(queue_name="walked", attempt_set__outcome="failed")

    bound(Joined).run()
    assert walked() == ids


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (lambda: Task.objects.all()[:5], "sliced, or a union"),
        (lambda: Task.objects.all().union(Task.objects.all()), "sliced, or a union"),
        (lambda: Task.objects.values_list("pk"), "values() or values_list()"),
        (Task.objects.values, "values() or values_list()"),
        (lambda: Task.objects.order_by("priority"), "in an order of its own"),
    ],
)
def test_a_query_set_that_cannot_go_on_is_refused(items: Any, words: str) -> None:
    class Wrong(Walk):
        COUNT = False

        def items(self, cursor: Any) -> Any:
            return items()

    with pytest.raises((TypeError, ValueError)) as refused:
        bound(Wrong).run()
    assert words in str(refused.value)
    assert str(refused.value).startswith("Wrong.items() returned ")


@pytest.mark.parametrize("order", [("pk",), ("id",), ("-pk",)])
def test_an_order_by_primary_keys_is_what_it_is_anyway(order: tuple[str, ...]) -> None:
    ids = make(4)

    class Ordered(Walk):
        def items(self, cursor: Any) -> Any:
            return super().items(cursor).order_by(*order)

    if order == ("-pk",):
        with pytest.raises(ValueError, match="order"):
            bound(Ordered).run()
    else:
        bound(Ordered).run()
        assert walked() == ids


def test_each_item_is_committed_together_with_its_cursor() -> None:
    ids = make(4)
    [task] = claim_new()

    class Failing(WalkAtomically):
        def during(self, item: Task) -> None:
            assert connection.in_atomic_block
            if item.pk == ids[2]:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bound(Failing, task).run()
    assert walked() == ids[:2]
    stored = lifecycle.stored_checkpoint(task.id)
    assert stored is not None
    assert f'"cursor":{ids[1]}' in stored.text
    processor = bound(WalkAtomically, task)
    vars(processor)["_state"] = {"cursor": ids[1], "done": 2, "total": 4}
    processor.run()
    assert walked() == ids


def test_whoever_has_lost_the_task_commits_nothing_more() -> None:
    ids = make(4)
    [task] = claim_new()

    class Overtaken(WalkAtomically):
        def during(self, item: Task) -> None:
            if item.pk == ids[1]:
                rescue()

    with pytest.raises(LeaseLost):
        bound(Overtaken, task).run()
    assert walked() == ids[:1]


def test_a_run_without_a_task_may_be_part_of_a_transaction() -> None:
    ids = make(4)
    with transaction.atomic():
        WalkAtomically().run_now()
    assert walked() == ids
    assert not Progress.objects.exists()
