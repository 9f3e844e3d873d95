import pytest

from django_partisan.manager.local_queue import LocalQueue
from django_partisan.manager.runtimes import Runtimes
from django_partisan.manager.stride import Stride
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


def test_of_each_queue_is_known_what_waits_of_it() -> None:
    queue = LocalQueue(Stride(Runtimes()))
    queue.put([claimed_task(number, queue_name="mail") for number in (1, 2, 3)], now=0)
    queue.put([claimed_task(4, queue_name="reports")], now=10)
    assert queue.qsize() == 4
    assert (queue.waiting("mail"), queue.waiting("reports"), queue.waiting("other")) == (3, 1, 0)
    assert len(queue.take(lambda task: task.id == 2)) == 1
    assert len(queue.take_older_than(5)) == 2
    assert list(queue.queue_names()) == ["reports"]
    assert queue.get().id == 4
    assert queue.qsize() == 0
    assert queue.peek() is None


def test_within_a_queue_tasks_keep_their_order_whatever_others_have() -> None:
    stride = Stride(Runtimes())
    queue = LocalQueue(stride)
    for name in ("mail", "reports"):
        stride.serve(name, 1)
    queue.put([claimed_task(n, queue_name="mail", priority=-n) for n in range(5)], now=0)
    queue.put([claimed_task(10 + n, queue_name="reports", priority=99) for n in range(5)], now=0)
    out = [task.id for task in queue.take_all()]
    assert [number for number in out if number < 10] == [4, 3, 2, 1, 0]
    assert [number for number in out if number >= 10] == [10, 11, 12, 13, 14]
    assert set(out[:4]) & {10, 11}, "the other queue's better priorities do not hold it up"
