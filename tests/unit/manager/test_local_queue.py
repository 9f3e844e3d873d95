import pytest

from django_partisan.manager.local_queue import LocalQueue
from tests.support.claimed_tasks import claimed_task


def test_tasks_come_out_by_priority_then_due_time_then_id() -> None:
    queue = LocalQueue()
    late = claimed_task(1, due=9.0)
    queue.put([claimed_task(3, due=5.0), claimed_task(2, due=5.0), late], now=0)
    queue.put([claimed_task(4, priority=-1, due=99.0)], now=1)
    assert [queue.get().id for _ in range(4)] == [4, 2, 3, 1]


def test_returned_tasks_and_orphans_go_first_in_the_order_they_were_given() -> None:
    queue = LocalQueue()
    queue.put([claimed_task(1, priority=-5)], now=0)
    queue.put_first([claimed_task(3), claimed_task(2)])
    assert [task.id for task in queue.take_all()] == [3, 2, 1]


def test_looking_at_the_next_task_does_not_take_it() -> None:
    queue = LocalQueue()
    assert queue.peek() is None
    queue.put([claimed_task(7)], now=0)
    assert queue.peek() == claimed_task(7)
    assert queue.qsize() == 1


def test_an_empty_queue_gives_nothing() -> None:
    with pytest.raises(IndexError):
        LocalQueue().get()


def test_only_what_was_claimed_before_the_moment_is_taken_as_old() -> None:
    queue = LocalQueue()
    queue.put([claimed_task(1), claimed_task(2)], now=10)
    queue.put([claimed_task(3)], now=20)
    assert {task.id for task in queue.take_older_than(15)} == {1, 2}
    assert queue.ids() == {3}
    assert queue.take_older_than(15) == []


def test_chosen_tasks_are_taken_from_wherever_they_wait() -> None:
    queue = LocalQueue()
    queue.put([claimed_task(number) for number in (1, 2, 3)], now=0)
    queue.put_first([claimed_task(5), claimed_task(4)])
    taken = queue.take(lambda task: task.id in (2, 4))
    assert sorted(task.id for task in taken) == [2, 4]
    assert [task.id for task in queue.take_all()] == [5, 1, 3]
